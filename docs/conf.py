"""Configuration of Sphinx."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / '_ext'))

import aiida_mlip_ins  # noqa: E402

project = 'aiida-mlip-ins'
author = 'the aiida-mlip-ins developers'
copyright = '2026, the aiida-mlip-ins developers'
version = release = aiida_mlip_ins.__version__

extensions = ['myst_parser', 'processes']
source_suffix = {'.md': 'markdown'}
exclude_patterns = ['_build', '_ext', 'requirements.txt']
myst_enable_extensions = ['colon_fence', 'deflist', 'dollarmath']
myst_heading_anchors = 3

html_theme = 'furo'
html_title = 'aiida-mlip-ins'
html_static_path = ['_static']
html_css_files = ['custom.css']
html_show_sphinx = False
