// promot::biased_attention: attention with numbers that are added to the scores, and with dropout of the weights, in fp32
// on x86 processors with AVX2 but not AVX-512, forward and backward. T5 needs it: libtorch's fused kernel has no dropout
// on a CPU, and no gradient of what is added. A block of queries meets all keys at once. Backward computes the weights
// anew from the logarithms of their sums (Dao et al. 2022, algorithm 4), and hashes the mask anew (dropout-mask.h).
// Shapes: B sequences, H heads, T queries, S keys, D head width.
#include <ATen/Functions.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include <cmath>
#include <utility>
#include <vector>

#include "dropout-mask.h"
#include "parallel.h"
#include "small-products.h"

namespace {
namespace biased_attention {

using namespace small;

constexpr int64_t kQueries = 48;  // of a block

/** Scores [S] to exp(score - most), which is 0 where the score is far below; numbers from S to `wide` become 0. Gives the sum. */
VECTORIZED float toWeights(float* scores, int64_t keys, int64_t wide, float most) {
  for (int64_t i = keys; i < wide; ++i) scores[i] = -INFINITY;
  Lanes sums{};
  for (int64_t i = 0; i < wide; i += kLanes) {
    const Lanes below = most - lanes(scores + i);
    Lanes x = below;
    expOfMinus(x);
    x = below > 87.0f ? Lanes{} : x;
    lanes(scores + i) = x;
    sums += x;
  }
  return sumOf(sums);
}

/** Scores [S] plus a bias. Gives the largest. */
VECTORIZED float addBias(float* scores, const float* bias, int64_t keys) {
  Lanes most = Lanes{} - INFINITY;
  int64_t i = 0;
  for (; i + kLanes <= keys; i += kLanes) {
    const Lanes x = lanes(scores + i) + lanes(bias + i);
    lanes(scores + i) = x;
    most = x > most ? x : most;
  }
  float largest = -INFINITY;
  for (int lane = 0; lane < kLanes; ++lane) largest = std::max(largest, most[lane]);
  for (; i < keys; ++i) {
    scores[i] += bias[i];
    largest = std::max(largest, scores[i]);
  }
  return largest;
}

/** Gradients of weights to those of scores: d = weights * (d - delta). */
VECTORIZED void ofScores(const float* weights, float* d, int64_t wide, float delta) {
  for (int64_t i = 0; i < wide; i += kLanes) lanes(d + i) = lanes(weights + i) * (lanes(d + i) - delta);
}

/** Where the numbers of a tensor [B, H, T, D] lie, D side by side. */
struct Rows {
  float* data;
  int64_t sequence, head, row;

  explicit Rows(const at::Tensor& x) : data(static_cast<float*>(x.data_ptr())), sequence(x.stride(0)), head(x.stride(1)), row(x.stride(2)) {}
  float* of(int64_t b, int64_t h) const { return data + b * sequence + h * head; }
};

struct Shape {
  int64_t sequences, heads, queries, keys, width, wide;
  float scale;
  dropped::Mask mask;
  bool drops;

  Shape(const at::Tensor& query, const at::Tensor& key, double by, double p, int64_t seed)
      : sequences(query.size(0)),
        heads(query.size(1)),
        queries(query.size(2)),
        keys(key.size(2)),
        width(query.size(3)),
        wide((keys + kLanes - 1) / kLanes * kLanes),
        scale(static_cast<float>(by)),
        mask(p, seed),
        drops(p > 0) {}

  at::Tensor bias(const at::Tensor& given) const { return given.expand({sequences, heads, queries, keys}); }
  /** The place in the mask where query `query` of a sequence's head begins. */
  int64_t place(int64_t b, int64_t h, int64_t query) const { return ((b * heads + h) * queries + query) * keys; }
};

struct Scratch {
  Room keys, values, keyRows, query, scores, kept, ofWeights;
};

/** The rows of one head side by side: far apart they would fall on the same places of the cache. */
const float* together(const Rows& x, int64_t b, int64_t h, const Shape& shape, Room& memory) {
  float* rows = memory.of(shape.keys * shape.width);
  for (int64_t i = 0; i < shape.keys; ++i) std::copy_n(x.of(b, h) + i * x.row, shape.width, rows + i * shape.width);
  return rows;
}

/** The rows of one head as columns [D, wide], 0 where there are none. */
const float* columns(const Rows& x, int64_t b, int64_t h, const Shape& shape, Room& memory) {
  float* table = memory.of(shape.width * shape.wide);
  transpose(x.of(b, h), x.row, table, shape.wide, shape.keys, shape.width);
  for (int64_t d = 0; d < shape.width; ++d) std::fill_n(table + d * shape.wide + shape.keys, shape.wide - shape.keys, 0.0f);
  return table;
}

/** Calls `of` with each head of each sequence, and with room that those of a thread share. */
template <class F>
void eachHead(const Shape& shape, F of) {
  parallelFor(shape.sequences * shape.heads, 1, [&](int64_t begin, int64_t end) {
    Scratch scratch;
    for (int64_t number = begin; number < end; ++number) of(number / shape.heads, number % shape.heads, scratch);
  });
}

/** Calls `of` with the first query of each block, and with how many there are. */
template <class F>
void eachBlock(const Shape& shape, F of) {
  for (int64_t first = 0; first < shape.queries; first += kQueries) of(first, std::min(kQueries, shape.queries - first));
}

/** Scaled queries [rows, D], and their products with the transposed keys [D, wide]. */
std::pair<const float*, float*> scoresOf(const Shape& shape, const float* query, int64_t apart, int64_t rows, const float* keys, Scratch& scratch) {
  float *queries = scratch.query.of(rows * shape.width), *scores = scratch.scores.of(rows * shape.wide);
  for (int64_t i = 0; i < rows; ++i) scaled(query + i * apart, queries + i * shape.width, shape.width, shape.scale);
  product(queries, shape.width, 1, keys, shape.wide, scores, shape.wide, rows, shape.wide, shape.width, false);
  return {queries, scores};
}

/** A tensor [B, H, T, D] that lies as [B, T, H, D]: what comes next reads all heads of a place. */
at::Tensor placesFirst(const at::Tensor& like, bool zeros) {
  const auto shape = {like.size(0), like.size(2), like.size(1), like.size(3)};
  return (zeros ? at::zeros(shape, like.options()) : at::empty(shape, like.options())).transpose(1, 2);
}

/** The mixed values [B, H, T, D] and the logarithms of the sums [B, H, T]. */
std::tuple<at::Tensor, at::Tensor> attend(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value, const at::Tensor& bias, const Shape& shape) {
  auto out = placesFirst(query, false);
  auto logSums = at::empty({shape.sequences, shape.heads, shape.queries}, query.options());
  const Rows q(query), k(key), v(value), added(bias), to(out);
  float* logs = logSums.mutable_data_ptr<float>();
  eachHead(shape, [&](int64_t b, int64_t h, Scratch& scratch) {
    const float* keys = columns(k, b, h, shape, scratch.keys);
    const float* values = together(v, b, h, shape, scratch.values);
    eachBlock(shape, [&](int64_t first, int64_t rows) {
      float* scores = scoresOf(shape, q.of(b, h) + first * q.row, q.row, rows, keys, scratch).second;
      float* mixed = to.of(b, h) + first * to.row;
      std::vector<float> sums(rows);
      for (int64_t i = 0; i < rows; ++i) {
        float* row = scores + i * shape.wide;
        const float largest = addBias(row, added.of(b, h) + (first + i) * added.row, shape.keys);
        sums[i] = toWeights(row, shape.keys, shape.wide, largest);
        logs[(b * shape.heads + h) * shape.queries + first + i] = largest + std::log(sums[i]);
        if (shape.drops) shape.mask.drop(row, row, shape.place(b, h, first + i), shape.keys);
      }
      product(scores, shape.wide, 1, values, shape.width, mixed, to.row, rows, shape.width, shape.keys, false);
      for (int64_t i = 0; i < rows; ++i) scaled(mixed + i * to.row, mixed + i * to.row, shape.width, 1 / sums[i]);
    });
  });
  return {out, logSums};
}

/** Gradients of query, key and value [B, H, ., D], and of the scores [B, H, T, S] where they are asked for. */
std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor> attendBack(const at::Tensor& gradient, const at::Tensor& query, const at::Tensor& key,
                                                                      const at::Tensor& value, const at::Tensor& bias, const at::Tensor& out,
                                                                      const at::Tensor& logSums, const Shape& shape, bool asksForBias) {
  auto ofQuery = placesFirst(query, false), ofKey = placesFirst(key, true), ofValue = placesFirst(value, true);
  auto ofBias = asksForBias ? at::empty({shape.sequences, shape.heads, shape.queries, shape.keys}, query.options()) : at::Tensor();
  const Rows g(gradient), q(query), k(key), v(value), added(bias), o(out), dq(ofQuery), dk(ofKey), dv(ofValue);
  const float* logs = logSums.const_data_ptr<float>();
  float* db = asksForBias ? ofBias.mutable_data_ptr<float>() : nullptr;
  eachHead(shape, [&](int64_t b, int64_t h, Scratch& scratch) {
    const float *keys = columns(k, b, h, shape, scratch.keys), *values = columns(v, b, h, shape, scratch.values);
    const float* keyRows = together(k, b, h, shape, scratch.keyRows);
    eachBlock(shape, [&](int64_t first, int64_t rows) {
      const auto [queries, scores] = scoresOf(shape, q.of(b, h) + first * q.row, q.row, rows, keys, scratch);
      const float *gradients = g.of(b, h) + first * g.row, *mixed = o.of(b, h) + first * o.row;
      float *kept = scratch.kept.of(rows * shape.wide), *d = scratch.ofWeights.of(rows * shape.wide);
      product(gradients, g.row, 1, values, shape.wide, d, shape.wide, rows, shape.wide, shape.width, false);
      for (int64_t i = 0; i < rows; ++i) {
        float *row = scores + i * shape.wide, *ofRow = d + i * shape.wide;
        addBias(row, added.of(b, h) + (first + i) * added.row, shape.keys);
        toWeights(row, shape.keys, shape.wide, logs[(b * shape.heads + h) * shape.queries + first + i]);
        if (shape.drops) {
          const int64_t place = shape.place(b, h, first + i);
          shape.mask.drop(row, kept + i * shape.wide, place, shape.keys);
          shape.mask.drop(ofRow, ofRow, place, shape.keys);
        }
        ofScores(row, ofRow, shape.wide, dot(gradients + i * g.row, mixed + i * o.row, shape.width));
        if (db) std::copy_n(ofRow, shape.keys, db + shape.place(b, h, first + i));
      }
      product(shape.drops ? kept : scores, 1, shape.wide, gradients, g.row, dv.of(b, h), dv.row, shape.keys, shape.width, rows, true);
      product(d, 1, shape.wide, queries, shape.width, dk.of(b, h), dk.row, shape.keys, shape.width, rows, true);
      float* ofRows = dq.of(b, h) + first * dq.row;
      product(d, shape.wide, 1, keyRows, shape.width, ofRows, dq.row, rows, shape.width, shape.keys, false);
      for (int64_t i = 0; i < rows; ++i) scaled(ofRows + i * dq.row, ofRows + i * dq.row, shape.width, shape.scale);
    });
  });
  return {ofQuery, ofKey, ofValue, ofBias};
}

/** With the numbers of its last dimension side by side. */
at::Tensor inRows(const at::Tensor& x) { return x.stride(-1) == 1 || x.size(-1) == 1 ? x : x.contiguous(); }

struct BiasedAttention : torch::autograd::Function<BiasedAttention> {
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                            const at::Tensor& bias, double scale, double p, int64_t seed) {
    const Shape shape(query, key, scale, p, seed);
    const auto q = inRows(query), k = inRows(key), v = inRows(value);
    auto [out, logSums] = attend(q, k, v, inRows(shape.bias(bias)), shape);
    context->save_for_backward({q, k, v, bias, out, logSums});
    context->saved_data["scale"] = scale;
    context->saved_data["p"] = p;
    context->saved_data["seed"] = seed;
    return out;
  }
  static torch::autograd::tensor_list backward(torch::autograd::AutogradContext* context, torch::autograd::tensor_list gradients) {
    const auto saved = context->get_saved_variables();
    const auto& data = context->saved_data;
    const Shape shape(saved[0], saved[1], data.at("scale").toDouble(), data.at("p").toDouble(), data.at("seed").toInt());
    auto [q, k, v, scores] = attendBack(inRows(gradients[0]), saved[0], saved[1], saved[2], inRows(shape.bias(saved[3])), saved[4], saved[5], shape,
                                        context->needs_input_grad(3));
    const auto bias = scores.defined() ? at::sum_to(scores, saved[3].sizes()) : scores;
    return {q, k, v, bias, at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

/** Whether the kernel takes such queries [B, H, T, D]. */
bool takes(const at::Tensor& query) {
  return isForFmaKernels() && query.device().is_cpu() && query.layout() == at::kStrided && query.scalar_type() == at::kFloat && query.dim() == 4 &&
         query.size(3) > 0 && query.size(3) % kLanes == 0;
}

at::Tensor biasedAttention(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value, const at::Tensor& bias, double scale, double p, int64_t seed) {
  TORCH_CHECK(takes(query), "takes query [B, H, T, D] in float32 on the CPU, D a multiple of ", kLanes, ", on a processor with AVX2 and without AVX-512");
  for (const auto& t : {key, value})
    TORCH_CHECK(takes(t) && t.size(0) == query.size(0) && t.size(1) == query.size(1) && t.size(2) > 0 && t.size(3) == query.size(3),
                "keys and values are [B, H, S, D], S at least 1, of the query's type");
  TORCH_CHECK(key.sizes() == value.sizes(), "there are as many keys as values");
  TORCH_CHECK(bias.device().is_cpu() && bias.layout() == at::kStrided && bias.scalar_type() == at::kFloat && bias.dim() == 4, "the bias has four dimensions, in float32 on the CPU");
  for (int64_t d = 0; d < 4; ++d) {
    const int64_t size = d == 3 ? key.size(2) : query.size(d);
    TORCH_CHECK(bias.size(d) == 1 || bias.size(d) == size, "the bias broadcasts to [B, H, T, S]");
  }
  TORCH_CHECK(p >= 0 && p < 1, "dropout rate must be in [0, 1), got ", p);
  return BiasedAttention::apply(query, key, value, bias, scale, p, seed);
}

}  // namespace biased_attention
}  // namespace

TORCH_LIBRARY_FRAGMENT(promot, library) {
  library.def("biased_attention_takes(Tensor query) -> bool", torch::dispatch(c10::DispatchKey::CompositeImplicitAutograd, biased_attention::takes));
  library.def("biased_attention(Tensor query, Tensor key, Tensor value, Tensor bias, float scale, float p, int seed) -> Tensor",
              torch::dispatch(c10::DispatchKey::CompositeImplicitAutograd, biased_attention::biasedAttention));
}
