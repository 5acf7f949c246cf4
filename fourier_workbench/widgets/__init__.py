"""The views of JupyterLab: density explorer, recovery stepper, ladder, dashboard, trajectory player, gallery, report, studio.

In: crystals, runs or their directories, generators, traced trajectories, samples. Out: widgets that show themselves in a cell and
save themselves as one HTML page (`view.to_html(path)`); beneath each, a pure function that returns data or a plotly figure.
"""

from importlib.util import find_spec

if _missing := [name for name in ("plotly", "ipywidgets", "anywidget", "skimage") if find_spec(name) is None]:
    raise ImportError(f"the views need {' and '.join(_missing)}; run: pip install 'fourier_workbench[lab]'")

from fourier_workbench.widgets.dashboard import Dashboard, curves_figure, watch
from fourier_workbench.widgets.density import Explorer, Shown, density_figure, explore, truncation, wave_figure
from fourier_workbench.widgets.gallery import Gallery, gallery, gallery_figure
from fourier_workbench.widgets.ladder import LadderView, ladder_figure, ladder_history, show_ladder
from fourier_workbench.widgets.reciprocal import wave_table
from fourier_workbench.widgets.report import ReportView, report_html, show_report
from fourier_workbench.widgets.stepper import Stepper, step, stepper_figure
from fourier_workbench.widgets.studio import Studio, studio
from fourier_workbench.widgets.theme import ViewError
from fourier_workbench.widgets.trajectory import Player, play, trajectory_figure
from fourier_workbench.widgets.view import View

__all__ = [
    "Dashboard", "Explorer", "Gallery", "LadderView", "Player", "ReportView", "Shown", "Stepper",
    "Studio", "View", "ViewError", "curves_figure", "density_figure", "explore", "gallery", "gallery_figure", "ladder_figure",
    "ladder_history", "play", "report_html", "show_ladder", "show_report", "step", "stepper_figure",
    "studio", "trajectory_figure", "truncation", "watch", "wave_figure", "wave_table",
]
