// promot::packed_attention: attention of sequences that lie one after the other, without padding and without a mask, in
// fp32 on x86 processors with AVX2 but not AVX-512, forward and backward; numbers in bf16 are widened. A query sees its own key and those before it,
// or the last so many of them. Work that no query asks for is left out, block by block. Backward computes the weights
// anew from the logarithms of their sums. The formulas are FlashAttention's (Dao et al. 2022, algorithms 1 and 4), with
// all keys of a query at once.
// Shapes: N queries and M keys of all sequences, B sequences, H heads, G key/value heads, D head width, L queries and S
// keys of a sequence.
#include <ATen/Functions.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "parallel.h"
#include "small-products.h"

namespace {
namespace packed_attention {

using namespace small;

constexpr int64_t kBlock = 48;    // rows of queries that see the same keys: all heads of some places

/** exp(score - most) of scores from `first` to `end`, others 0. */
__attribute__((always_inline)) inline void toWeights(float* scores, int64_t first, int64_t end, int64_t columns, float most) {
  for (int64_t i = 0; i < columns; i += kLanes) {
    Lanes x = most - lanes(scores + i);
    expOfMinus(x);
    lanes(scores + i) = x;
  }
  for (int64_t i = 0; i < first; ++i) scores[i] = 0;
  for (int64_t i = end; i < columns; ++i) scores[i] = 0;
}

/** The weights exp(score - largest) of scores from `first` to `end`, others 0, and their sum. Gives the largest score. */
VECTORIZED float weigh(float* scores, int64_t first, int64_t end, int64_t columns, float& sum) {
  float largest = -INFINITY;
  for (int64_t i = first; i < end; ++i) largest = scores[i] > largest ? scores[i] : largest;
  toWeights(scores, first, end, columns, largest);
  Lanes sums{};
  for (int64_t i = 0; i < columns; i += kLanes) sums += lanes(scores + i);
  sum = sumOf(sums);
  return largest;
}

/** The weights exp(score - logSum) of scores from `first` to `end`, others 0; and of their gradients d those of the scores. */
VECTORIZED void weighBack(float* scores, float* d, int64_t first, int64_t end, int64_t columns, float logSum, float delta) {
  toWeights(scores, first, end, columns, logSum);
  for (int64_t i = 0; i < columns; i += kLanes) lanes(d + i) = lanes(scores + i) * (lanes(d + i) - delta);
}

/** What queries, keys and values are, and where each sequence lies. */
struct Shape {
  int64_t heads, groups, width, each, sequences, window;
  const int32_t *queries, *keys;
  float scale;

  Shape(const at::Tensor& query, const at::Tensor& key, const at::Tensor& queryStarts, const at::Tensor& keyStarts, double by, std::optional<int64_t> back)
      : heads(query.size(1)),
        groups(key.size(1)),
        width(query.size(2)),
        each(heads / groups),
        sequences(queryStarts.numel() - 1),
        window(back.value_or(INT64_MAX / 2)),
        queries(queryStarts.const_data_ptr<int32_t>()),
        keys(keyStarts.const_data_ptr<int32_t>()),
        scale(static_cast<float>(by)) {}
};

/** A key/value head of a sequence, with the heads of the query that it serves. */
struct Unit {
  int64_t group, first, length, firstKey, keys, wide;

  Unit(const Shape& shape, int64_t number)
      : group(number % shape.groups),
        first(shape.queries[number / shape.groups]),
        length(shape.queries[number / shape.groups + 1] - first),
        firstKey(shape.keys[number / shape.groups]),
        keys(shape.keys[number / shape.groups + 1] - firstKey),
        wide(keys + kLanes) {}

  /** Where the heads of place `place` begin. */
  int64_t at(const Shape& shape, int64_t place) const { return ((first + place) * shape.heads + group * shape.each) * shape.width; }
};

/** Some places of a unit and the keys that one of them sees. */
struct Block {
  int64_t place, places, rows, from, to, columns;

  Block(const Shape& shape, const Unit& unit, int64_t start)
      : place(start),
        places(std::min(unit.length - start, std::max<int64_t>(1, kBlock / shape.each))),
        rows(places * shape.each),
        from(std::max<int64_t>(0, last(unit, start) - shape.window + 1)),
        to(last(unit, start + places - 1) + 1),
        columns((to - from + kLanes - 1) / kLanes * kLanes) {}

  /** A place's own key. */
  static int64_t last(const Unit& unit, int64_t place) { return unit.keys - unit.length + place; }
  /** What row `row` sees of this block's keys. */
  int64_t begin(const Shape& shape, const Unit& unit, int64_t row) const {
    return std::max<int64_t>(0, last(unit, place + row / shape.each) - shape.window + 1) - from;
  }
  int64_t end(const Shape& shape, const Unit& unit, int64_t row) const { return last(unit, place + row / shape.each) + 1 - from; }
};

template <class F>
void eachBlock(const Shape& shape, const Unit& unit, F of) {
  for (int64_t start = 0; start < unit.length;) {
    const Block block(shape, unit, start);
    of(block);
    start += block.places;
  }
}

struct Scratch {
  Room keys, values, query, gradient, scores, ofScores, mixed;
};

/** Calls `of` with each unit, the place of its first key, and room that the units of a thread share. */
template <class F>
void eachUnit(const Shape& shape, F of) {
  parallelFor(shape.sequences * shape.groups, 1, [&](int64_t begin, int64_t end) {
    Scratch scratch;
    for (int64_t number = begin; number < end; ++number) {
      const Unit unit(shape, number);
      of(unit, (unit.firstKey * shape.groups + unit.group) * shape.width, scratch);
    }
  });
}

/** The mixed values [N, H, D] and the logarithms of the sums [N, H]. */
std::tuple<at::Tensor, at::Tensor> attend(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value, const Shape& shape) {
  auto out = at::empty_like(query);
  auto logSums = at::empty({query.size(0), shape.heads}, query.options());
  const float *q = query.const_data_ptr<float>(), *k = key.const_data_ptr<float>(), *v = value.const_data_ptr<float>();
  float *to = out.mutable_data_ptr<float>(), *logs = logSums.mutable_data_ptr<float>();
  const int64_t width = shape.width, apart = shape.groups * width;
  eachUnit(shape, [&](const Unit& unit, int64_t first, Scratch& scratch) {
    float* keys = scratch.keys.of(width * unit.wide);
    transpose(k + first, apart, keys, unit.wide, unit.keys, width);
    eachBlock(shape, unit, [&](const Block& block) {
      float *queries = scratch.query.of(block.rows * width), *mixed = scratch.mixed.of(block.rows * width);
      float* scores = scratch.scores.of(block.rows * block.columns);
      for (int64_t i = 0; i < block.places; ++i)
        scaled(q + unit.at(shape, block.place + i), queries + i * shape.each * width, shape.each * width, shape.scale);
      product(queries, width, 1, keys + block.from, unit.wide, scores, block.columns, block.rows, block.columns, width, false);
      std::vector<float> sums(block.rows);
      for (int64_t row = 0; row < block.rows; ++row) {
        const float largest = weigh(scores + row * block.columns, block.begin(shape, unit, row), block.end(shape, unit, row), block.columns, sums[row]);
        logs[unit.at(shape, block.place + row / shape.each) / width + row % shape.each] = largest + std::log(sums[row]);
      }
      product(scores, block.columns, 1, v + first + block.from * apart, apart, mixed, width, block.rows, width, block.to - block.from, false);
      for (int64_t row = 0; row < block.rows; ++row)
        scaled(mixed + row * width, to + unit.at(shape, block.place + row / shape.each) + row % shape.each * width, width, 1 / sums[row]);
    });
  });
  return {out, logSums};
}

/** Gradients of query, key and value. */
std::tuple<at::Tensor, at::Tensor, at::Tensor> attendBack(const at::Tensor& gradient, const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                                                          const at::Tensor& out, const at::Tensor& logSums, const Shape& shape) {
  auto ofQuery = at::empty_like(query), ofKey = at::zeros_like(key), ofValue = at::zeros_like(value);
  const float *g = gradient.const_data_ptr<float>(), *q = query.const_data_ptr<float>(), *k = key.const_data_ptr<float>(), *v = value.const_data_ptr<float>();
  const float *o = out.const_data_ptr<float>(), *logs = logSums.const_data_ptr<float>();
  float *dq = ofQuery.mutable_data_ptr<float>(), *dk = ofKey.mutable_data_ptr<float>(), *dv = ofValue.mutable_data_ptr<float>();
  const int64_t width = shape.width, apart = shape.groups * width;
  eachUnit(shape, [&](const Unit& unit, int64_t first, Scratch& scratch) {
    float *keys = scratch.keys.of(width * unit.wide), *values = scratch.values.of(width * unit.wide);
    transpose(k + first, apart, keys, unit.wide, unit.keys, width);
    transpose(v + first, apart, values, unit.wide, unit.keys, width);
    eachBlock(shape, unit, [&](const Block& block) {
      float *queries = scratch.query.of(block.rows * width), *gradients = scratch.gradient.of(block.rows * width);
      float *scores = scratch.scores.of(block.rows * block.columns), *d = scratch.ofScores.of(block.rows * block.columns);
      float* mixed = scratch.mixed.of(block.rows * width);
      for (int64_t i = 0; i < block.places; ++i) {
        const int64_t at = unit.at(shape, block.place + i), numbers = shape.each * width;
        scaled(q + at, queries + i * numbers, numbers, shape.scale);
        std::copy_n(g + at, numbers, gradients + i * numbers);
      }
      product(queries, width, 1, keys + block.from, unit.wide, scores, block.columns, block.rows, block.columns, width, false);
      product(gradients, width, 1, values + block.from, unit.wide, d, block.columns, block.rows, block.columns, width, false);
      for (int64_t row = 0; row < block.rows; ++row) {
        const int64_t at = unit.at(shape, block.place + row / shape.each) + row % shape.each * width;
        weighBack(scores + row * block.columns, d + row * block.columns, block.begin(shape, unit, row), block.end(shape, unit, row), block.columns,
                  logs[at / width], dot(gradients + row * width, o + at, width));
      }
      const int64_t seen = block.to - block.from, at = first + block.from * apart;
      product(scores, 1, block.columns, gradients, width, dv + at, apart, seen, width, block.rows, true);
      product(d, 1, block.columns, queries, width, dk + at, apart, seen, width, block.rows, true);
      product(d, block.columns, 1, k + at, apart, mixed, width, block.rows, width, seen, false);
      for (int64_t i = 0; i < block.places; ++i)
        scaled(mixed + i * shape.each * width, dq + unit.at(shape, block.place + i), shape.each * width, shape.scale);
    });
  });
  return {ofQuery, ofKey, ofValue};
}

at::Tensor wide(const at::Tensor& x) { return x.to(at::kFloat).contiguous(); }

struct PackedAttention : torch::autograd::Function<PackedAttention> {
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                            const at::Tensor& queries, const at::Tensor& keys, double scale, std::optional<int64_t> window) {
    auto [mixed, logSums] = attend(wide(query), wide(key), wide(value), Shape(query, key, queries, keys, scale, window));
    const auto out = mixed.to(query.scalar_type());
    context->save_for_backward({query, key, value, queries, keys, out, logSums});
    context->saved_data["scale"] = scale;
    context->saved_data["window"] = window;
    return out;
  }
  static torch::autograd::tensor_list backward(torch::autograd::AutogradContext* context, torch::autograd::tensor_list gradients) {
    const auto saved = context->get_saved_variables();
    const Shape shape(saved[0], saved[1], saved[3], saved[4], context->saved_data["scale"].toDouble(), context->saved_data["window"].toOptional<int64_t>());
    auto [q, k, v] = attendBack(wide(gradients[0]), wide(saved[0]), wide(saved[1]), wide(saved[2]), wide(saved[5]), saved[6], shape);
    const auto type = saved[0].scalar_type();
    return {q.to(type), k.to(type), v.to(type), at::Tensor(), at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

/** Whether the kernel takes such queries. */
bool takes(const at::Tensor& query) {
  const auto type = query.scalar_type();
  return isForFmaKernels() && query.device().is_cpu() && query.layout() == at::kStrided && (type == at::kFloat || type == at::kBFloat16) && query.dim() == 3 &&
         query.size(2) > 0 && query.size(2) % kLanes == 0;
}

at::Tensor packedAttention(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value, const at::Tensor& queries, const at::Tensor& keys, double scale,
                           std::optional<int64_t> window) {
  TORCH_CHECK(takes(query), "takes query [N, H, D] in float32 or bfloat16 on the CPU, D a multiple of ", kLanes, ", on a processor with AVX2 and without AVX-512");
  for (const auto& t : {key, value})
    TORCH_CHECK(takes(t) && t.scalar_type() == query.scalar_type() && t.size(2) == query.size(2), "keys and values are [M, G, D], of the query's type");
  TORCH_CHECK(key.sizes() == value.sizes() && key.size(1) > 0 && query.size(1) > 0 && query.size(1) % key.size(1) == 0, "a head of the keys serves as many heads of the query as another");
  TORCH_CHECK(!window || *window > 0, "a window has at least one place");
  for (const auto& t : {queries, keys})
    TORCH_CHECK(t.device().is_cpu() && t.layout() == at::kStrided && t.scalar_type() == at::kInt && t.dim() == 1 && t.numel() == queries.numel() && t.numel() > 0 &&
                    t.is_contiguous() && !t.requires_grad(),
                "the first places of B sequences and their end are [B + 1] in int32 on the CPU");
  const int32_t *q = queries.const_data_ptr<int32_t>(), *k = keys.const_data_ptr<int32_t>();
  const int64_t sequences = queries.numel() - 1;
  TORCH_CHECK(q[0] == 0 && k[0] == 0 && q[sequences] == query.size(0) && k[sequences] == key.size(0), "sequences go from the first place to the last");
  for (int64_t b = 0; b < sequences; ++b)
    TORCH_CHECK(q[b] <= q[b + 1] && k[b] <= k[b + 1] && k[b + 1] - k[b] >= q[b + 1] - q[b], "a sequence has at least as many keys as queries");
  return PackedAttention::apply(query, key, value, queries, keys, scale, window);
}

}  // namespace packed_attention
}  // namespace

TORCH_LIBRARY_FRAGMENT(promot, library) {
  library.def("packed_attention_takes(Tensor query) -> bool", torch::dispatch(c10::DispatchKey::CompositeImplicitAutograd, packed_attention::takes));
  library.def("packed_attention(Tensor query, Tensor key, Tensor value, Tensor queries, Tensor keys, float scale, int? window) -> Tensor",
              torch::dispatch(c10::DispatchKey::CompositeImplicitAutograd, packed_attention::packedAttention));
}
