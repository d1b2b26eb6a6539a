"""python -m experiments.benchmark"""

import tyro

import experiments.benchmark as package
from experiments.benchmark.config import Config
from experiments.benchmark.run import main

if __name__ == "__main__":
    main(tyro.cli(Config, description=package.__doc__.partition("\n")[0]))
