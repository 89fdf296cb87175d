"""Variants of a model by keyword."""

KEYWORDS = {
    "bidirectional": {"bidirectional": True},
    "residual": {"residual": True, "num_layers": 3},
    "learned_state": {"learned_state": True},
    "proj_size": {"proj_size": 3},
    "coupled": {"forget_gate": "coupled"},
    "no forget gate": {"forget_gate": "none"},
    "peephole": {"peephole": True},
    "layer_norm": {"layer_norm": True},
    "activation_clip": {"activation_clip": 0.5},
    "cell_clip": {"cell_clip": 0.1},
    "activations": {"activations": ("hard_sigmoid", ("elu", 0.5), "softsign")},
    "zoneout": {"dropout": {"zoneout_h": 0.25, "zoneout_c": 0.5}},
    "several": {
        "num_layers": 2,
        "proj_size": 3,
        "forget_gate": "coupled",
        "peephole": True,
        "layer_norm": True,
        "learned_state": True,
        "dropout": {"inputs": 0.2, "zoneout_h": 0.1},
    },
}
