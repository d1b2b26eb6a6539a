"""The activations of `jax.nn` as expressions of C."""

# Of `float x`; what else an expression needs stands in HELPERS of c_helpers.
EXPRESSIONS = {
    "tanh": "tanhf(x)",
    "relu": "fmaxf(x, 0.0f)",
    "sigmoid": "sigmoid(x)",
    "soft_sign": "x / (1.0f + fabsf(x))",
    "softplus": "softplus(x)",
    "elu": "x > 0.0f ? x : expm1f(x)",
    "celu": "x > 0.0f ? x : expm1f(x)",
    "selu": "1.05070099f * (x > 0.0f ? x : 1.67326324f * expm1f(x))",
    "leaky_relu": "x > 0.0f ? x : 0.01f * x",
    "hard_sigmoid": "fminf(fmaxf(x + 3.0f, 0.0f), 6.0f) / 6.0f",
    "hard_silu": "x * fminf(fmaxf(x + 3.0f, 0.0f), 6.0f) / 6.0f",
    "hard_swish": "x * fminf(fmaxf(x + 3.0f, 0.0f), 6.0f) / 6.0f",
    "identity": "x",
    "silu": "x * sigmoid(x)",
    "swish": "x * sigmoid(x)",
    "mish": "x * tanhf(softplus(x))",
    "log_sigmoid": "-softplus(-x)",
    "gelu": "0.5f * x * (1.0f + tanhf(0.797884561f * (x + 0.044715f * x * x * x)))",
    "sparse_plus": "x > 1.0f ? x : x < -1.0f ? 0.0f : 0.25f * (x + 1.0f) * (x + 1.0f)",
    "squareplus": "0.5f * (x + sqrtf(x * x + 4.0f))",
    "relu6": "fminf(fmaxf(x, 0.0f), 6.0f)",
    "hard_tanh": "fminf(fmaxf(x, -1.0f), 1.0f)",
}


def function_of(name: str) -> str:
    """The C function `apply_NAME` that writes what an activation makes of n numbers."""
    return f"""
static void apply_{name}(float *y, const float *from, int n)
{{
    for (int i = 0; i < n; i++) {{
        const float x = from[i];
        y[i] = {EXPRESSIONS[name]};
    }}
}}
"""
