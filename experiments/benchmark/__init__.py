"""How fast is jrnn, beside plain JAX and the other libraries?

    pip install -e ".[benchmark]"
    python -m experiments.benchmark                 # everything, half an hour or more
    python -m experiments.benchmark --only W2 W6    # renews these, keeps the others
    python -m experiments.benchmark --quick         # tiny sizes: does it all run?

W1  steps of training of min-char-rnn's size, 1 and 64 in a compiled call
W2  a batch of short sequences            W3  wide and deep LSTMs
W4  long sequences                        W5  64 configurations at once
W6  sampling                              W7  memory of the gradient
W8  time to compile                       W9  cells of other libraries, unchanged
W10 the batch divided among the cores   W11 loops that keep an array small

All contenders of a workload get the same weights and data. Before anything is timed
their losses and gradients are compared, in one layout of weights. Then they run in one
process, in rounds: each round runs everyone once, in a new order. A library that is not
installed is listed as missing. Run it on a machine that does nothing else.

problem      sizes, weights, data                  compare       from models to a result
models       what a contender is                   timing        rounds
of_jrnn, of_lax, of_numpy, peer_*                  the contenders
bare         the products no one can do without    table, chart  for people to read
training, gradients, configurations, sampling, memory, compiling, foreign,
sharded: the workloads
"""
