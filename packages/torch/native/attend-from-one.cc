// promot::attend_from_one: attention of one new place of each row, as cached generation asks for it: on a CPU in fp32,
// in one pass, without gradients. The keys lie in parts, each of which may be the same for several rows: a prefix for all,
// an input's for its beams, generated ones for one beam. No part is copied, and no row's result depends on the others.
// Shapes: B rows, H heads, G key/value heads, D head width, L places of a part, R key rows of a part.
#include <ATen/Functions.h>
#include <torch/library.h>

#include <algorithm>
#include <vector>

#include "parallel.h"
#include "vectorized.h"

namespace {

constexpr int64_t kTogether = 8;  // rows that look at the same keys together

/** The products of Q queries and K keys of so many lanes. */
template <int Q, int K>
__attribute__((always_inline)) inline void dotTile(const float* queries, const float* keys, float* scores, int64_t width, int64_t all) {
  Lanes sums[Q][K] = {};
  for (int64_t d = 0; d < width; d += kLanes)
    for (int k = 0; k < K; ++k)
      for (int q = 0; q < Q; ++q) sums[q][k] += lanes(queries + q * width + d) * lanes(keys + k * width + d);
  for (int q = 0; q < Q; ++q)
    for (int k = 0; k < K; ++k) scores[q * all + k] = sumOf(sums[q][k]);
}

template <int Q>
__attribute__((always_inline)) inline void dotRow(const float* queries, const float* keys, float* scores, int64_t length, int64_t width, int64_t all) {
  int64_t k = 0;
  for (; k + 4 <= length; k += 4) dotTile<Q, 4>(queries, keys + k * width, scores + k, width, all);
  for (; k < length; ++k) dotTile<Q, 1>(queries, keys + k * width, scores + k, width, all);
}

/** Products of queries [n, D] and keys [length, D] into rows of `scores`, `all` apart. */
VECTORIZED void dots(const float* queries, const float* keys, float* scores, int64_t n, int64_t length, int64_t width, int64_t all) {
  int64_t q = 0;
  for (; q + 3 <= n; q += 3) dotRow<3>(queries + q * width, keys, scores + q * all, length, width, all);
  for (; q < n; ++q) dotRow<1>(queries + q * width, keys, scores + q * all, length, width, all);
}

/** Adds to Q rows of `mixed`, in C lanes of them, the values times their weights. */
template <int Q, int C>
__attribute__((always_inline)) inline void mixTile(const float* weights, const float* values, float* mixed, int64_t length, int64_t width, int64_t all) {
  Lanes sums[Q][C];
  for (int q = 0; q < Q; ++q)
    for (int c = 0; c < C; ++c) sums[q][c] = lanes(mixed + q * width + c * kLanes);
  for (int64_t k = 0; k < length; ++k)
    for (int q = 0; q < Q; ++q)
      for (int c = 0; c < C; ++c) sums[q][c] += weights[q * all + k] * lanes(values + k * width + c * kLanes);
  for (int q = 0; q < Q; ++q)
    for (int c = 0; c < C; ++c) lanes(mixed + q * width + c * kLanes) = sums[q][c];
}

template <int Q>
__attribute__((always_inline)) inline void mixRow(const float* weights, const float* values, float* mixed, int64_t length, int64_t width, int64_t all) {
  int64_t d = 0;
  for (; d + 4 * kLanes <= width; d += 4 * kLanes) mixTile<Q, 4>(weights, values + d, mixed + d, length, width, all);
  for (; d < width; d += kLanes) mixTile<Q, 1>(weights, values + d, mixed + d, length, width, all);
}

/** Adds weights times values [length, D] to rows of `mixed` [n, D]. */
VECTORIZED void mix(const float* weights, const float* values, float* mixed, int64_t n, int64_t length, int64_t width, int64_t all) {
  int64_t q = 0;
  for (; q + 3 <= n; q += 3) mixRow<3>(weights + q * all, values, mixed + q * width, length, width, all);
  for (; q < n; ++q) mixRow<1>(weights + q * all, values, mixed + q * width, length, width, all);
}

/** exp(scores * scale + bias - their largest), in place; what they are to be divided by. */
VECTORIZED float weigh(float* scores, const float* bias, float scale, int64_t n) {
  float largest = -INFINITY;
  for (int64_t i = 0; i < n; ++i) {
    scores[i] = scores[i] * scale + bias[i];
    largest = scores[i] > largest ? scores[i] : largest;
  }
  Lanes sums{};
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    Lanes weight = largest - lanes(scores + i);
    expOfMinus(weight);
    lanes(scores + i) = weight;
    sums += weight;
  }
  // What lies behind the end weighs nothing.
  Lanes rest = Lanes{} + 1e30f;
  for (int64_t j = i; j < n; ++j) rest[j - i] = largest - scores[j];
  expOfMinus(rest);
  for (int64_t j = i; j < n; ++j) {
    scores[j] = rest[j - i];
    sums[j - i] += rest[j - i];
  }
  return sumOf(sums);
}

struct Part {
  at::Tensor keys, values;
  int64_t length;
  int64_t rows;  // that look at one row of keys
};

at::Tensor attendFromOne(const at::Tensor& query, at::TensorList keys, at::TensorList values, const at::Tensor& bias, double scale) {
  auto isFloat = [](const at::Tensor& t) { return t.device().is_cpu() && t.layout() == at::kStrided && t.scalar_type() == at::kFloat && t.dim() == 4; };
  TORCH_CHECK(isFloat(query) && query.size(2) == 1 && query.size(3) % kLanes == 0 && query.numel() > 0,
              "the query is [B, H, 1, D] in float32 on the CPU, with D a multiple of ", kLanes);
  const int64_t rows = query.size(0), heads = query.size(1), width = query.size(3);
  TORCH_CHECK(!keys.empty() && keys.size() == values.size(), "takes as many parts of values as of keys");
  const int64_t groups = keys[0].dim() == 4 ? keys[0].size(1) : 0;
  TORCH_CHECK(groups > 0 && heads % groups == 0, "a head of the keys serves as many heads of the query as another");
  std::vector<Part> parts;
  int64_t all = 0, together = rows;
  bool shared = false;
  for (size_t i = 0; i < keys.size(); ++i) {
    const auto &k = keys[i], &v = values[i];
    TORCH_CHECK(isFloat(k) && isFloat(v) && k.sizes() == v.sizes() && k.size(1) == groups && k.size(3) == width && k.size(0) > 0 && rows % k.size(0) == 0,
                "keys and values are [R, G, L, D] in float32 on the CPU, where B is a multiple of R");
    parts.push_back({k.contiguous(), v.contiguous(), k.size(2), rows / k.size(0)});
    all += k.size(2);
    if (parts.back().rows > 1) {
      together = std::min(together, parts.back().rows);
      shared = true;
    }
  }
  if (!shared) together = 1;
  for (const auto& part : parts) TORCH_CHECK(part.rows == 1 || part.rows % together == 0, "rows that share a part share the others, too, or have their own");
  TORCH_CHECK(isFloat(bias) && (bias.size(0) == rows || bias.size(0) == 1) && bias.size(1) == 1 && bias.size(2) == 1 && bias.size(3) == all,
              "the bias is [B or 1, 1, 1, all places]");
  const int64_t apart = bias.size(0) == 1 ? 0 : all;  // from one row's bias to the next row's
  const auto q = query.contiguous(), added = bias.contiguous();
  auto result = at::empty({rows, 1, heads * width}, query.options());
  const int64_t each = heads / groups;
  const int64_t blocks = (together + kTogether - 1) / kTogether;  // of the rows that share
  const float *from = q.const_data_ptr<float>(), *bias0 = added.const_data_ptr<float>();
  float* to = result.mutable_data_ptr<float>();
  parallelFor(rows / together * blocks * groups, 1, [&](int64_t begin, int64_t end) {
    std::vector<float> queries(kTogether * each * width), mixed(kTogether * each * width), scores(kTogether * each * all), sums(kTogether * each);
    for (int64_t unit = begin; unit < end; ++unit) {
      const int64_t group = unit % groups, block = unit / groups % blocks, first = unit / groups / blocks * together + block * kTogether;
      const int64_t count = std::min(kTogether, together - block * kTogether);
      for (int64_t row = 0; row < count; ++row)
        std::copy_n(from + ((first + row) * heads + group * each) * width, each * width, queries.data() + row * each * width);
      std::fill_n(mixed.data(), count * each * width, 0.0f);
      // Rows go together through the keys that they share, and one by one through their own.
      auto go = [&](bool weighed) {
        int64_t start = 0;
        for (const auto& part : parts) {
          const int64_t step = part.rows == 1 ? 1 : count;
          for (int64_t row = 0; row < count; row += step) {
            const int64_t at = ((first + row) / part.rows * groups + group) * part.length * width;
            float *own = scores.data() + row * each * all + start, *of = mixed.data() + row * each * width;
            if (weighed)
              mix(own, part.values.const_data_ptr<float>() + at, of, step * each, part.length, width, all);
            else
              dots(queries.data() + row * each * width, part.keys.const_data_ptr<float>() + at, own, step * each, part.length, width, all);
          }
          start += part.length;
        }
      };
      go(false);
      for (int64_t i = 0; i < count * each; ++i) sums[i] = weigh(scores.data() + i * all, bias0 + (first + i / each) * apart, static_cast<float>(scale), all);
      go(true);
      for (int64_t i = 0; i < count * each; ++i) {
        float* out = to + ((first + i / each) * heads + group * each + i % each) * width;
        for (int64_t d = 0; d < width; ++d) out[d] = mixed[i * width + d] / sums[i];
      }
    }
  });
  return result;
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(promot, library) {
  library.def("attend_from_one(Tensor query, Tensor[] keys, Tensor[] values, Tensor bias, float scale) -> Tensor",
              torch::dispatch(c10::DispatchKey::CompositeExplicitAutograd, attendFromOne));
}
