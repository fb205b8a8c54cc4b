"""Static pages: about run folders, which `barlowtf.experiment.report` fills, and of images that a search has found."""

from barlowtf.report.ablation_page import render_ablation
from barlowtf.report.ablation_plot import draw_plot
from barlowtf.report.ablation_table import ablation_table, conclusion
from barlowtf.report.contents import EmbeddedImages, RunContents, read_run
from barlowtf.report.page import render_page
from barlowtf.report.pictures import Picture, shrink, thumbnail
from barlowtf.report.projector import write_projector
from barlowtf.report.sheet import ShownImage, ShownQuery, render_sheet

__all__ = [
    "EmbeddedImages",
    "Picture",
    "RunContents",
    "ShownImage",
    "ShownQuery",
    "ablation_table",
    "conclusion",
    "draw_plot",
    "read_run",
    "render_ablation",
    "render_page",
    "render_sheet",
    "shrink",
    "thumbnail",
    "write_projector",
]
