"""How Sphinx builds the site: `nox -s docs`, or `sphinx-build -W docs build/site`."""

import sys
import tomllib
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from sklearn.base import BaseEstimator

import numlstm

project = "numlstm"
author = "The numlstm developers"
project_copyright = f"2026, {author}"
version = release = numlstm.__version__

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["build", "README.md"]
templates_path = ["_templates"]

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

autosummary_generate = True
# methods of dict, tuple and scikit-learn that have their pages elsewhere, and those of `Cell`,
# `LSTM`, `Objective` and `Scaling` that are for the package's own use
autosummary_context = {
    "elsewhere": {
        *dir(dict),
        *dir(tuple),
        *dir(BaseEstimator),
        "changed",
        "from_spec",
        "in_words",
        "is_near",
        "of_outputs",
        "one_unit",
        "require_effect",
        "require_fit",
        "run",
        "targets",
        "unit_parameters",
        "unused_on_full_batches",
        "set_fit_request",
        "set_partial_fit_request",
        "set_predict_log_proba_request",
        "set_predict_proba_request",
        "set_predict_request",
        "set_score_request",
    }
}
autodoc_typehints = "none"  # the docstrings say more
numpydoc_show_class_members = False
numpydoc_show_inherited_class_members = False
# which rules of numpydoc there are exceptions to, and why, says pyproject.toml
_project = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())
_rules = _project["tool"]["numpydoc_validation"]
numpydoc_validation_checks = set(_rules["checks"])

sphinx_gallery_conf = {
    "examples_dirs": ["../examples/tutorials", "../examples/gallery"],
    "gallery_dirs": ["tutorials", "gallery"],
    "filename_pattern": "",  # all of them run
    "within_subsection_order": "FileNameSortKey",
    "remove_config_comments": True,
    "capture_repr": (),  # what is printed, is
    "ignore_pattern": "GALLERY_HEADER",
    "show_memory": False,
    "show_signature": False,
    "min_reported_time": 1e9,  # times belong to benchmarks/
    "plot_gallery": "True",
    "abort_on_example_error": True,
    "doc_module": "numlstm",
    "reference_url": {"numlstm": None},
    "backreferences_dir": "api/backreferences",
}

html_theme = "pydata_sphinx_theme"
html_title = "numlstm"
html_theme_options = {
    "github_url": "https://github.com/numlstm/numlstm",
    "navbar_align": "left",
    "show_toc_level": 2,
    "header_links_before_dropdown": 6,
    "footer_start": ["copyright"],
    "footer_end": [],
}
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_sidebars = {"index": []}
