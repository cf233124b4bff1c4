"""Where Chromium is, for tests that look at pages."""

import shutil

#: Its path; None where there is none.
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
