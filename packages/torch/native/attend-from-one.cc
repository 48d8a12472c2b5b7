// promot::attend_from_one: attention of one new place of each row, as cached generation asks for it: on a CPU in fp32,
// in one pass, without gradients. The keys lie in parts, each of which may be the same for several rows: a prefix for all,
// an input's for its beams. Those of the last part may lie in slots, of which each row has its own list: what a beam has
// generated. No part is copied, and no row's result depends on the others.
// Shapes: B rows, H heads, G key/value heads, D head width, L places of a part, R key rows of a part, S slots.
#include <ATen/Functions.h>
#include <torch/library.h>

#include <algorithm>
#include <vector>

#include "parallel.h"
#include "vectorized.h"

namespace {

constexpr int64_t kTogether = 8;  // rows that look at the same keys together

/** Where a key lies, and the value of the same place, counted in numbers from the first one of its part. */
using Places = std::vector<int64_t>;

/** The products of Q queries and K keys of so many lanes. */
template <int Q, int K>
__attribute__((always_inline)) inline void dotTile(const float* queries, const float* keys, const int64_t* at, float* scores, int64_t width, int64_t all) {
  Lanes sums[Q][K] = {};
  for (int64_t d = 0; d < width; d += kLanes)
    for (int k = 0; k < K; ++k)
      for (int q = 0; q < Q; ++q) sums[q][k] += lanes(queries + q * width + d) * lanes(keys + at[k] + d);
  for (int q = 0; q < Q; ++q)
    for (int k = 0; k < K; ++k) scores[q * all + k] = sumOf(sums[q][k]);
}

template <int Q>
__attribute__((always_inline)) inline void dotRow(const float* queries, const float* keys, const Places& at, float* scores, int64_t width, int64_t all) {
  const int64_t length = at.size();
  int64_t k = 0;
  for (; k + 4 <= length; k += 4) dotTile<Q, 4>(queries, keys, &at[k], scores + k, width, all);
  for (; k < length; ++k) dotTile<Q, 1>(queries, keys, &at[k], scores + k, width, all);
}

/** Products of queries [n, D] and the keys at some places into rows of `scores`, `all` apart. */
VECTORIZED void dots(const float* queries, const float* keys, const Places& at, float* scores, int64_t n, int64_t width, int64_t all) {
  int64_t q = 0;
  for (; q + 3 <= n; q += 3) dotRow<3>(queries + q * width, keys, at, scores + q * all, width, all);
  for (; q < n; ++q) dotRow<1>(queries + q * width, keys, at, scores + q * all, width, all);
}

/** Adds to Q rows of `mixed`, in C lanes of them, the values times their weights. */
template <int Q, int C>
__attribute__((always_inline)) inline void mixTile(const float* weights, const float* values, const Places& at, float* mixed, int64_t width, int64_t all) {
  Lanes sums[Q][C];
  for (int q = 0; q < Q; ++q)
    for (int c = 0; c < C; ++c) sums[q][c] = lanes(mixed + q * width + c * kLanes);
  const int64_t length = at.size();
  for (int64_t k = 0; k < length; ++k)
    for (int q = 0; q < Q; ++q)
      for (int c = 0; c < C; ++c) sums[q][c] += weights[q * all + k] * lanes(values + at[k] + c * kLanes);
  for (int q = 0; q < Q; ++q)
    for (int c = 0; c < C; ++c) lanes(mixed + q * width + c * kLanes) = sums[q][c];
}

template <int Q>
__attribute__((always_inline)) inline void mixRow(const float* weights, const float* values, const Places& at, float* mixed, int64_t width, int64_t all) {
  int64_t d = 0;
  for (; d + 4 * kLanes <= width; d += 4 * kLanes) mixTile<Q, 4>(weights, values + d, at, mixed + d, width, all);
  for (; d < width; d += kLanes) mixTile<Q, 1>(weights, values + d, at, mixed + d, width, all);
}

/** Adds weights times the values at some places to rows of `mixed` [n, D]. */
VECTORIZED void mix(const float* weights, const float* values, const Places& at, float* mixed, int64_t n, int64_t width, int64_t all) {
  int64_t q = 0;
  for (; q + 3 <= n; q += 3) mixRow<3>(weights + q * all, values, at, mixed + q * width, width, all);
  for (; q < n; ++q) mixRow<1>(weights + q * all, values, at, mixed + q * width, width, all);
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
  const int64_t* slots;  // [B, L], or none
};

at::Tensor attendFromOne(const at::Tensor& query, at::TensorList keys, at::TensorList values, const std::optional<at::Tensor>& slots, const at::Tensor& bias,
                         double scale) {
  auto isFloat = [](const at::Tensor& t) { return t.device().is_cpu() && t.layout() == at::kStrided && t.scalar_type() == at::kFloat; };
  TORCH_CHECK(isFloat(query) && query.dim() == 4 && query.size(2) == 1 && query.size(3) % kLanes == 0 && query.numel() > 0,
              "the query is [B, H, 1, D] in float32 on the CPU, with D a multiple of ", kLanes);
  const int64_t rows = query.size(0), heads = query.size(1), width = query.size(3);
  TORCH_CHECK(!keys.empty() && keys.size() == values.size(), "takes as many parts of values as of keys");
  const int64_t groups = keys[0].dim() > 1 ? keys[0].size(1) : 0;
  TORCH_CHECK(groups > 0 && heads % groups == 0, "a head of the keys serves as many heads of the query as another");
  std::vector<Part> parts;
  int64_t all = 0, together = rows;
  bool shared = false;
  at::Tensor list;
  for (size_t i = 0; i < keys.size(); ++i) {
    const auto &k = keys[i], &v = values[i];
    TORCH_CHECK(isFloat(k) && isFloat(v) && k.sizes() == v.sizes(), "keys and values are in float32 on the CPU, both of the same shape");
    if (slots && i + 1 == keys.size()) {
      TORCH_CHECK(k.dim() == 4 && k.size(1) == groups && k.size(2) == 1 && k.size(3) == width, "keys and values in slots are [S, G, 1, D]");
      TORCH_CHECK(slots->device().is_cpu() && slots->layout() == at::kStrided && slots->scalar_type() == at::kLong && slots->dim() == 2 && slots->size(0) == rows,
                  "slots are [B, L] in int64 on the CPU");
      list = slots->contiguous();
      const int64_t* first = list.const_data_ptr<int64_t>();
      for (int64_t j = 0; j < list.numel(); ++j) TORCH_CHECK(first[j] >= 0 && first[j] < k.size(0), "there is no slot ", first[j]);
      parts.push_back({k.contiguous(), v.contiguous(), list.size(1), 1, first});
    } else {
      TORCH_CHECK(k.dim() == 4 && k.size(1) == groups && k.size(3) == width && k.size(0) > 0 && rows % k.size(0) == 0,
                  "keys and values are [R, G, L, D], where B is a multiple of R");
      parts.push_back({k.contiguous(), v.contiguous(), k.size(2), rows / k.size(0), nullptr});
    }
    all += parts.back().length;
    if (parts.back().rows > 1) {
      together = std::min(together, parts.back().rows);
      shared = true;
    }
  }
  if (!shared) together = 1;
  for (const auto& part : parts) TORCH_CHECK(part.rows == 1 || part.rows % together == 0, "rows that share a part share the others, too, or have their own");
  TORCH_CHECK(isFloat(bias) && bias.dim() == 4 && bias.size(0) > 0 && rows % bias.size(0) == 0 && (bias.size(1) == heads || bias.size(1) == 1) && bias.size(2) == 1 &&
                  bias.size(3) == all,
              "the bias is [R, H or 1, 1, all places], where B is a multiple of R");
  const int64_t ofBias = rows / bias.size(0), apart = bias.size(1) * all, headsApart = bias.size(1) == 1 ? 0 : all;
  const auto q = query.contiguous(), added = bias.contiguous();
  auto result = at::empty({rows, 1, heads * width}, query.options());
  const int64_t each = heads / groups;
  const int64_t blocks = (together + kTogether - 1) / kTogether;  // of the rows that share
  const float *from = q.const_data_ptr<float>(), *bias0 = added.const_data_ptr<float>();
  float* to = result.mutable_data_ptr<float>();
  parallelFor(rows / together * blocks * groups, 1, [&](int64_t begin, int64_t end) {
    std::vector<float> queries(kTogether * each * width), mixed(kTogether * each * width), scores(kTogether * each * all), sums(kTogether * each);
    Places places;
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
          places.resize(part.length);
          for (int64_t row = 0; row < count; row += step) {
            const int64_t at = ((first + row) / part.rows * groups + group) * part.length;
            const int64_t* own = part.slots ? part.slots + (first + row) * part.length : nullptr;
            for (int64_t k = 0; k < part.length; ++k) places[k] = (own ? own[k] * groups + group : at + k) * width;
            float *score = scores.data() + row * each * all + start, *of = mixed.data() + row * each * width;
            if (weighed)
              mix(score, part.values.const_data_ptr<float>(), places, of, step * each, width, all);
            else
              dots(queries.data() + row * each * width, part.keys.const_data_ptr<float>(), places, score, step * each, width, all);
          }
          start += part.length;
        }
      };
      go(false);
      for (int64_t i = 0; i < count * each; ++i) {
        const float* own = bias0 + (first + i / each) / ofBias * apart + (group * each + i % each) * headsApart;
        sums[i] = weigh(scores.data() + i * all, own, static_cast<float>(scale), all);
      }
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
  library.def("attend_from_one(Tensor query, Tensor[] keys, Tensor[] values, Tensor? slots, Tensor bias, float scale) -> Tensor",
              torch::dispatch(c10::DispatchKey::CompositeExplicitAutograd, attendFromOne));
}
