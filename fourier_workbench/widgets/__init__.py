"""What a person sees of all this in JupyterLab, without a network.

In: crystals, runs or their directories, generators, traced trajectories, results. Out: widgets that show themselves in a cell
and save themselves as one HTML page (`view.to_html(path)`); beneath each, a pure function that returns data or a plotly figure.
"""

from fourier_workbench.widgets.dashboard import Dashboard, curves_figure, watch
from fourier_workbench.widgets.density import Explorer, Shown, density_figure, explore, truncation, wave_figure
from fourier_workbench.widgets.gallery import Gallery, gallery, gallery_figure
from fourier_workbench.widgets.ladder import LadderView, ladder_figure, ladder_history, show_ladder
from fourier_workbench.widgets.report import ReportView, report_html, show_report
from fourier_workbench.widgets.stepper import Stepper, step, stepper_figure
from fourier_workbench.widgets.theme import ViewError
from fourier_workbench.widgets.trajectory import Player, play, trajectory_figure
from fourier_workbench.widgets.view import View
from fourier_workbench.widgets.waves import wave_table

__all__ = [
    "Dashboard",
    "Explorer",
    "Gallery",
    "LadderView",
    "Player",
    "ReportView",
    "Shown",
    "Stepper",
    "View",
    "ViewError",
    "curves_figure",
    "density_figure",
    "explore",
    "gallery",
    "gallery_figure",
    "ladder_figure",
    "ladder_history",
    "play",
    "report_html",
    "show_ladder",
    "show_report",
    "step",
    "stepper_figure",
    "trajectory_figure",
    "truncation",
    "watch",
    "wave_figure",
    "wave_table",
]
