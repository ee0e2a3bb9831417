"""Does momentum teach a linear classifier faster? The smallest experiment: two arms at rates of their own."""

from cnnkit.evidence.experiment import Claim, Comparison, Experiment
from cnnkit.lab.config import RunConfig

RATE = {"learning_rate": 0.002}

optimizers = Comparison(
    RunConfig(train_size=200, model="softmax", batch_size=50, epochs=2),
    by="momentum",
    arms={"none": RATE, "0.9": RATE | {"optimizer_args": {"momentum": 0.9}}},
    claims=(
        Claim(
            "momentum-is-faster",
            "Momentum reaches a higher accuracy in two epochs.",
            better="0.9",
            worse="none",
            source="everybody",
            margin=0.001,
            ledger=45,
        ),
    ),
    tuning_seeds=(1,),
    seeds=2,
    longer_seeds=0,
)

EXPERIMENT = Experiment("tiny", "Does momentum teach a linear classifier faster?", full=optimizers, smoke=optimizers)
