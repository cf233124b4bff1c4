"""The command line, ``open-nsfw``: one file for each subcommand."""
