"""Variants of a model by keyword."""

KEYWORDS = {
    "bidirectional": {"bidirectional": True},
    "residual": {"residual": True, "num_layers": 3},
    "learned_state": {"learned_state": True},
    "proj_size": {"proj_size": 3},
    "coupled": {"cell": {"forget_gate": "coupled"}},
    "no forget gate": {"cell": {"forget_gate": "none"}},
    "peephole": {"cell": {"peephole": True}},
    "layer_norm": {"cell": {"layer_norm": True}},
    "activation_clip": {"cell": {"activation_clip": 0.5}},
    "cell_clip": {"cell": {"cell_clip": 0.1}},
    "activations": {"cell": {"activations": ("hard_sigmoid", ("elu", 0.5), "softsign")}},
    "zoneout": {"dropout": {"zoneout_h": 0.25, "zoneout_c": 0.5}},
    "several": {
        "num_layers": 2,
        "proj_size": 3,
        "cell": {"forget_gate": "coupled", "peephole": True, "layer_norm": True},
        "learned_state": True,
        "dropout": {"inputs": 0.2, "zoneout_h": 0.1},
    },
}
