"Sphinx settings of the rendered documentation; every asset is local, nothing comes from a CDN."

import sys

# jsonschema, which reads notebooks, would compile a grammar of international addresses for over a second; they hold none.
sys.modules.setdefault("rfc3987_syntax", None)

project = "Fourier Workbench"
author = copyright = "Fourier Workbench contributors"
extensions = ["myst_nb"]
root_doc = "index"
exclude_patterns = ["_static"]

html_theme = "furo"
html_title = project
pygments_style, pygments_dark_style = "friendly", "monokai"
html_css_files = ["site.css"]
html_js_files = ["figures.js", "search.js"]
html_copy_source = False
html_show_sourcelink = False
html_last_updated_fmt = None

nb_execution_mode = "off"  # tools/build_docs.py has the notebooks run
nb_render_markdown_format = "myst"
nb_ipywidgets_js = {"require.js": {}, "widgets.js": {}, "embed-amd.js": {}}
myst_enable_extensions = ["dollarmath", "amsmath", "attrs_block", "attrs_inline", "colon_fence", "deflist"]
myst_heading_anchors = 4
mathjax_path = "tex-svg.js"  # one file with its fonts
suppress_warnings = ["myst.header"]  # an api page may open with an exported function
