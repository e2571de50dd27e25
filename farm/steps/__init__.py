# SPDX-License-Identifier: LGPL-2.1-or-later
"""The steps of the farm, each a module: see farm/README.md."""
