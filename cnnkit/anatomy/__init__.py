"""What a network is made of: shapes, parameters, multiply-adds, memory and receptive fields of any Keras model.

`layer_table` gives one row a layer of a Functional or Sequential model (nested models, branches, residuals); `totals`,
`describe` and `draw_network` read it, `gradient_box` measures it. `rules.py` says how to teach it a layer of your own.
"""

from cnnkit.anatomy.drawing import draw_network
from cnnkit.anatomy.fields import gradient_box
from cnnkit.anatomy.rules import RULES
from cnnkit.anatomy.sizes import conv_output_size, conv_params, unseen_pixels
from cnnkit.anatomy.table import compare_models, describe, layer_table, receptive_field, totals

__all__ = ["RULES", "compare_models", "conv_output_size", "conv_params", "describe", "draw_network", "gradient_box"]
__all__ += ["layer_table", "receptive_field", "totals", "unseen_pixels"]
