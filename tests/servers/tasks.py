"""A Celery application whose broker and results are folders."""

import os

import application
from celery import Celery

folder = os.environ["CELERY_FOLDER"]
app = Celery(
    "tasks",
    broker="filesystem://",
    backend=f"file://{folder}/results",
    broker_transport_options={
        "data_folder_in": f"{folder}/queue",
        "data_folder_out": f"{folder}/queue",
        "control_folder": f"{folder}/control",
    },
)
score = app.task(application.score, name="score")
