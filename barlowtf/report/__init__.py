"""One static page about one or several run folders; see `barlowtf.experiment.report` for how it is filled."""

from barlowtf.report.contents import EmbeddedImages, RunContents, read_run
from barlowtf.report.page import render_page
from barlowtf.report.pictures import shrink

__all__ = ["EmbeddedImages", "RunContents", "read_run", "render_page", "shrink"]
