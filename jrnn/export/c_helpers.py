"""The functions of C that layers are made of, each with the equation of its cell."""

HELPERS = {
    "sigmoid": """
static float sigmoid(float x)
{
    return 0.5f * tanhf(0.5f * x) + 0.5f;
}
""",
    "softplus": """
static float softplus(float x)
{
    return fmaxf(x, 0.0f) + log1pf(expf(-fabsf(x)));
}
""",
    "clear": """
static void clear(float *y, int n)
{
    for (int i = 0; i < n; i++)
        y[i] = 0.0f;
}
""",
    "set_one": """
/* nothing for a token that does not exist */
static void set_one(float *y, int token, int n)
{
    if (token >= 0 && token < n)
        y[token] = 1.0f;
}
""",
    "copy": """
static void copy(float *y, const float *x, int n)
{
    for (int i = 0; i < n; i++)
        y[i] = x[i];
}
""",
    "add_product": """
/* y += x w, where w has n rows of m; four rows at once, to read and write y less */
static void add_product(float *restrict y, const float *x, const float *w, int n, int m)
{
    int i = 0;
    for (; i + 4 <= n; i += 4, w += 4 * m)
        for (int j = 0; j < m; j++)
            y[j] += x[i] * w[j] + x[i + 1] * w[m + j]
                  + x[i + 2] * w[2 * m + j] + x[i + 3] * w[3 * m + j];
    for (; i < n; i++, w += m)
        for (int j = 0; j < m; j++)
            y[j] += x[i] * w[j];
}
""",
    "add_row": """
/* y += w[row]; nothing for a row that does not exist */
static void add_row(float *y, int row, const float *w, int n, int m)
{
    if (row < 0 || row >= n)
        return;
    for (int j = 0; j < m; j++)
        y[j] += w[row * m + j];
}
""",
    "add_product_8": """
/* y += x (scale w), where w has n rows of m and a scale for each row */
static void add_product_8(float *restrict y, const float *x, const signed char *w,
                          const float *scale, int n, int m)
{
    int i = 0;
    for (; i + 4 <= n; i += 4, w += 4 * m) {
        const float a = x[i] * scale[i], b = x[i + 1] * scale[i + 1];
        const float c = x[i + 2] * scale[i + 2], d = x[i + 3] * scale[i + 3];
        for (int j = 0; j < m; j++)
            y[j] += a * w[j] + b * w[m + j] + c * w[2 * m + j] + d * w[3 * m + j];
    }
    for (; i < n; i++, w += m)
        for (int j = 0; j < m; j++)
            y[j] += x[i] * scale[i] * w[j];
}
""",
    "add_row_8": """
/* y += scale[row] w[row]; nothing for a row that does not exist */
static void add_row_8(float *y, int row, const signed char *w, const float *scale,
                      int n, int m)
{
    if (row < 0 || row >= n)
        return;
    for (int j = 0; j < m; j++)
        y[j] += scale[row] * w[row * m + j];
}
""",
    "lstm": """
/* c <- f c + i g,  h <- o tanh(c);  z holds i, f, g, o side by side */
static void lstm(float *h, float *c, const float *z, int n)
{
    for (int k = 0; k < n; k++) {
        const float i = sigmoid(z[k]), f = sigmoid(z[n + k]);
        const float g = tanhf(z[2 * n + k]), o = sigmoid(z[3 * n + k]);
        c[k] = f * c[k] + i * g;
        h[k] = o * tanhf(c[k]);
    }
}
""",
    "gru_after": """
/* h <- (1 - update) tanh(z_n + reset u_n) + update h;  r, z, n side by side */
static void gru_after(float *h, const float *z, const float *u, int n)
{
    for (int k = 0; k < n; k++) {
        const float reset = sigmoid(z[k] + u[k]);
        const float update = sigmoid(z[n + k] + u[n + k]);
        const float proposal = tanhf(z[2 * n + k] + reset * u[2 * n + k]);
        h[k] = (1.0f - update) * proposal + update * h[k];
    }
}
""",
    "gru_reset": """
/* v = reset h, which the product of the proposal reads */
static void gru_reset(float *v, const float *h, const float *z, const float *u, int n)
{
    for (int k = 0; k < n; k++)
        v[k] = sigmoid(z[k] + u[k]) * h[k];
}
""",
    "gru_before": """
/* h <- (1 - update) tanh(z_n + p) + update h,  p = (reset h) w_n + b_n */
static void gru_before(float *h, const float *z, const float *u, const float *p, int n)
{
    for (int k = 0; k < n; k++) {
        const float update = sigmoid(z[n + k] + u[n + k]);
        const float proposal = tanhf(z[2 * n + k] + p[k]);
        h[k] = (1.0f - update) * proposal + update * h[k];
    }
}
""",
}

INPUT_OF_TOKENS = """
/* 1 and the next token of the input, or 0 at its end */
static int read_input(int *token)
{
    char word[64] = "", *end;
    if (scanf("%63s", word) != 1)
        return 0;
    const long number = strtol(word, &end, 10);
    if (*end != 0 || number < -999999999L || number > 999999999L) {
        fprintf(stderr, "not a token: %s\\n", word);
        exit(1);
    }
    *token = (int)number;
    return 1;
}
"""

INPUT_OF_NUMBERS = """
/* 1 and the next MODEL_INPUTS numbers of the input, or 0 at its end */
static int read_input(float *x)
{
    for (int i = 0; i < MODEL_INPUTS; i++) {
        char word[64] = "", *end;
        if (scanf("%63s", word) != 1) {
            if (i == 0)
                return 0;
            fprintf(stderr, "the last input has %d of %d numbers\\n", i, MODEL_INPUTS);
            exit(1);
        }
        x[i] = strtof(word, &end);
        if (*end != 0 || word[62] != 0) {
            fprintf(stderr, "not a number: %s\\n", word);
            exit(1);
        }
    }
    return 1;
}
"""

TEXT = """
/* a token by its probability, softmax(y / temperature); the likeliest one at 0 */
static int chosen(const float *y, float temperature, unsigned long *random)
{
    int best = 0;
    for (int i = 1; i < MODEL_OUTPUTS; i++)
        if (y[i] > y[best])
            best = i;
    if (!(temperature > 0.0f))
        return best;
    float total = 0.0f;
    for (int i = 0; i < MODEL_OUTPUTS; i++)
        total += expf((y[i] - y[best]) / temperature);
    *random ^= (*random << 13) & 0xffffffffUL; /* xorshift, Marsaglia 2003 */
    *random ^= *random >> 17;
    *random ^= (*random << 5) & 0xffffffffUL;
    float left = total * ((float)(*random >> 8) / 16777216.0f);
    for (int i = 0; i < MODEL_OUTPUTS; i++) {
        left -= expf((y[i] - y[best]) / temperature);
        if (left < 0.0f)
            return i;
    }
    return best;
}

static void write_text(long length, unsigned long seed, float temperature)
{
    static model_state state;
    static float y[MODEL_OUTPUTS];
    unsigned long random = (seed * 2654435761UL + 1UL) & 0xffffffffUL;
    int token = FIRST_TOKEN;
    if (random == 0UL)
        random = 1UL;
    model_start(&state);
    for (long i = 0; i < length; i++) {
        model_step(&state, token, y);
        token = chosen(y, temperature, &random);
        const unsigned from = symbol_starts[token], to = symbol_starts[token + 1];
        fwrite(symbols + from, 1, to - from, stdout);
    }
}
"""

MAIN = """
int main(ARGUMENTS)
{
    static model_state state;
    static float y[MODEL_OUTPUTS];
    INPUT;
WRITE    model_start(&state);
    while (read_input(ADDRESS)) {
        model_step(&state, x, y);
        for (int i = 0; i < MODEL_OUTPUTS; i++)
            printf("%.9g%c", (double)y[i], i + 1 < MODEL_OUTPUTS ? ' ' : '\\n');
    }
    return 0;
}
"""

WRITE = """\
    if (argc > 2 && strcmp(argv[1], "write") == 0) {
        const unsigned long seed = argc > 3 ? strtoul(argv[3], NULL, 10) : 0UL;
        const float temperature = argc > 4 ? strtof(argv[4], NULL) : 1.0f;
        write_text(strtol(argv[2], NULL, 10), seed, temperature);
        return 0;
    }
"""
