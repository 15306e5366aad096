"""What Optax 0.2.8 is accused of, looked at by hand one by one, and why each accusation holds.

By law, reason and optimizer.
"""

CASES: dict[str, dict[str, str]] = {
    "update_dtypes": {
        "updates take the dtype of the gradients, or of both": "adabelief adadelta adafactor "
        "adagrad adam adamax adamaxw adamw adan amsgrad fromage lamb lars lbfgs lion noisy_sgd "
        "optimistic_adam optimistic_adam_v2 optimistic_gradient_descent polyak_sgd radam rmsprop "
        "sgd sign_sgd signum sm3 yogi contrib.acprop contrib.ademamix "
        "contrib.simplified_ademamix contrib.adopt contrib.cocob contrib.dadapt_adamw contrib.dog "
        "contrib.dowg contrib.madgrad contrib.momo contrib.momo_adam contrib.muon "
        "contrib.prodigy contrib.sophia",
        "branches of different dtypes do not compile": "novograd contrib.galore",
    },
    "state_dtypes": {
        "state starts in the parameters' dtype, and float32 gradients change it": "adabelief "
        "adadelta adagrad adam adamax adamaxw adamw adan amsgrad lamb lars lbfgs lion "
        "optimistic_adam optimistic_adam_v2 optimistic_gradient_descent radam rmsprop rprop "
        "signum sm3 yogi contrib.acprop contrib.ademamix contrib.simplified_ademamix "
        "contrib.adopt contrib.cocob contrib.dadapt_adamw contrib.dog contrib.dowg "
        "contrib.madgrad contrib.momo contrib.momo_adam contrib.muon contrib.prodigy "
        "contrib.schedule_free_adamw contrib.sophia",
        "branches of different dtypes do not compile": "novograd contrib.galore",
    },
    "narrow_weights": {
        "running means and sums in the weights' dtype stall, or underflow in float16": "adabelief "
        "adadelta adafactor adagrad adam adamax adamaxw adamw adan amsgrad lbfgs lion novograd "
        "optimistic_adam optimistic_adam_v2 radam rmsprop sm3 yogi contrib.acprop "
        "contrib.ademamix contrib.simplified_ademamix contrib.adopt contrib.cocob contrib.galore "
        "contrib.madgrad contrib.momo contrib.momo_adam contrib.muon contrib.sophia",
        "step sizes in the weights' dtype": "rprop",
        "norms in the weights' dtype": "fromage lamb lars",
        "the distance from the start, in the weights' dtype, is lost": "contrib.dadapt_adamw "
        "contrib.dog contrib.dowg contrib.prodigy",
        "the mean of the weights is read back from the weights, which are rounded": ""
        "contrib.schedule_free contrib.schedule_free_adamw contrib.schedule_free_sgd",
        "other noise is drawn in other dtypes": "noisy_sgd",
    },
    "zero_gradient": {
        "0/0, since ε is 0 in float16": "adabelief adafactor adam adamax adan amsgrad novograd "
        "optimistic_adam optimistic_adam_v2 rmsprop contrib.acprop contrib.ademamix "
        "contrib.simplified_ademamix contrib.cocob contrib.dog contrib.galore contrib.momo_adam "
        "contrib.muon contrib.schedule_free_adamw",
        "0/0, if all gradients are 0": "contrib.dadapt_adamw contrib.prodigy",
        "weights decay, as they should": "adamaxw adamw lion contrib.sophia",
        "weights shrink to their norm": "fromage",
        "the mean starts at 1e-6": "yogi",
        "noise moves all weights, as it should": "noisy_sgd",
    },
    "complex_leaves": {
        "squares of complex gradients are complex": "adadelta contrib.simplified_ademamix "
        "contrib.cocob contrib.dadapt_adamw contrib.momo_adam contrib.prodigy",
        "other noise is drawn": "noisy_sgd",
    },
    "elementwise": {
        "a norm of the leaf": "adafactor fromage lamb lars novograd contrib.muon",
        "a norm or a search over all leaves, as published": "lbfgs polyak_sgd contrib.dog "
        "contrib.dowg contrib.momo contrib.momo_adam",
        "rows and columns share sums, and scalars fail": "sm3",
        "leaves with an axis of one fail": "contrib.galore",
        "other noise is drawn": "noisy_sgd",
    },
    "long_walk": {
        "a norm overflows in float16": "adafactor fromage lamb",
        "the first estimate of the rate is 0/0 in float16": "contrib.dadapt_adamw contrib.prodigy",
    },
    "counts": {"the count plus one wraps before it is used": "adafactor contrib.madgrad"},
    "extra_args": {"words that it does not know go to value_fn": "lbfgs"},
    "one_compilation": {"numbers of the line search start weakly typed": "lbfgs"},
    "donation": {
        "the state holds the parameters themselves": "contrib.cocob contrib.dog contrib.dowg "
        "contrib.madgrad contrib.prodigy",
        "two memories start as one buffer": "lbfgs",
    },
    "sign_symmetry": {
        "noise has a sign": "noisy_sgd",
        "the mean starts at 1e-6, which has a sign": "yogi",
    },
    "no_lag": {
        "the update is that of the step before": "rprop",
        "the first step only fills the state, as published": "contrib.adopt",
    },
    "tree_kinds": {"scalars fail": "sm3", "None fails": "contrib.galore"},
    "shapes": {"scalars fail": "sm3"},
    "abstract_init": {
        "init looks at the values, or lets NumPy look at the parameters": "contrib.dadapt_adamw "
        "contrib.dog contrib.dowg contrib.momo contrib.momo_adam contrib.prodigy "
        "contrib.schedule_free contrib.schedule_free_adamw contrib.schedule_free_sgd",
        "init transposes the parameters": "contrib.galore",
    },
}


def accused_of(name: str) -> set[str]:
    return {
        law
        for law, reasons in CASES.items()
        if any(name in names.split() for names in reasons.values())
    }
