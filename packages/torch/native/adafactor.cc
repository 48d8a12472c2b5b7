// promot::adafactor_: one step of Adafactor (src/optim/adafactor.ts has the formula) on a CPU in fp32, in three passes
// over a factored matrix and two over anything else; libtorch's operators take eleven. Sums are made in pieces of a
// fixed size and put together in their order: the result does not depend on the number of threads.
#include <ATen/core/Tensor.h>
#include <torch/library.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "parallel.h"
#include "vectorized.h"

namespace {

constexpr int64_t kPiece = 1 << 14;  // numbers that one sum goes over, about
constexpr double kEpsilonGradient = 1e-30, kEpsilonParameter = 1e-3, kClipping = 1;  // T5X's

/** Of n numbers: adds g^2 to `columns`, and gives the sums of g^2 and p^2. */
VECTORIZED void squares(const float* __restrict g, const float* __restrict p, int64_t n, float* __restrict columns, float* sums) {
  Lanes ofGradient{}, ofParameter{};
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    Lanes square = lanes(g + i) * lanes(g + i);
    lanes(columns + i) += square;
    ofGradient += square;
    ofParameter += lanes(p + i) * lanes(p + i);
  }
  sums[0] = sumOf(ofGradient), sums[1] = sumOf(ofParameter);
  for (; i < n; ++i) {
    columns[i] += g[i] * g[i];
    sums[0] += g[i] * g[i], sums[1] += p[i] * p[i];
  }
}

/** The sum of (g * factor)^2. */
VECTORIZED float scaledSquares(const float* __restrict g, const float* __restrict factor, int64_t n) {
  Lanes squares{};
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    Lanes u = lanes(g + i) * lanes(factor + i);
    squares += u * u;
  }
  float sum = sumOf(squares);
  for (; i < n; ++i) sum += (g[i] * factor[i]) * (g[i] * factor[i]);
  return sum;
}

/** p -= rate * g * factor */
VECTORIZED void move(float* __restrict p, const float* __restrict g, const float* __restrict factor, int64_t n, float rate) {
  for (int64_t i = 0; i < n; ++i) p[i] -= rate * (g[i] * factor[i]);
}

/** The second moment v of n numbers, and the sums of u^2 = g^2 / v and of p^2. */
VECTORIZED void moments(const float* __restrict g, const float* __restrict p, float* __restrict v, int64_t n, float decay, float* sums) {
  const float rest = 1 - decay, epsilon = kEpsilonGradient;
  Lanes ofUpdate{}, ofParameter{};
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    Lanes square = lanes(g + i) * lanes(g + i);
    Lanes moment = lanes(v + i) * decay + (square + epsilon) * rest;
    lanes(v + i) = moment;
    ofUpdate += square / moment;
    ofParameter += lanes(p + i) * lanes(p + i);
  }
  sums[0] = sumOf(ofUpdate), sums[1] = sumOf(ofParameter);
  for (; i < n; ++i) {
    v[i] = v[i] * decay + (g[i] * g[i] + epsilon) * rest;
    sums[0] += g[i] * g[i] / v[i], sums[1] += p[i] * p[i];
  }
}

/** p -= rate * g / sqrt(v) */
VECTORIZED void moveByMoment(float* __restrict p, const float* __restrict g, const float* __restrict v, int64_t n, float rate) {
  for (int64_t i = 0; i < n; ++i) p[i] -= rate * (g[i] / std::sqrt(v[i]));
}

double total(const std::vector<double>& pieces) {
  double sum = 0;
  for (double piece : pieces) sum += piece;
  return sum;
}

struct Rate {
  double learningRate;
  bool scaled;
  /** The step's length, by the sums of squares of the update and of the parameter over n numbers. */
  float of(double update, double parameter, double n) const {
    double scale = scaled ? std::max(std::sqrt(parameter / n), kEpsilonParameter) : 1;
    return static_cast<float>(learningRate * scale / std::max(1.0, std::sqrt(update / n) / kClipping));
  }
};

void factored(float* p, const float* g, float* row, float* column, int64_t rows, int64_t columns, double decay, Rate rate) {
  const int64_t height = std::max<int64_t>(32, kPiece / columns), pieces = (rows + height - 1) / height;
  std::vector<double> ofParameter(pieces), ofUpdate(pieces);
  std::vector<float> rowSums(rows), columnSums(pieces * columns);
  auto overRows = [&](auto work) {
    parallelFor(pieces, 1, [&](int64_t begin, int64_t end) {
      for (int64_t piece = begin; piece < end; ++piece)
        for (int64_t i = piece * height; i < std::min(rows, (piece + 1) * height); ++i) work(piece, i);
    });
  };
  overRows([&](int64_t piece, int64_t i) {
    float sums[2];
    squares(g + i * columns, p + i * columns, columns, &columnSums[piece * columns], sums);
    rowSums[i] = sums[0];
    ofParameter[piece] += sums[1];
  });
  std::vector<double> all(columns);
  for (int64_t piece = 0; piece < pieces; ++piece)
    for (int64_t j = 0; j < columns; ++j) all[j] += columnSums[piece * columns + j];
  double mean = 0;
  for (int64_t i = 0; i < rows; ++i) {
    row[i] = static_cast<float>(row[i] * decay + (1 - decay) * (rowSums[i] / static_cast<double>(columns) + kEpsilonGradient));
    mean += row[i];
  }
  mean /= static_cast<double>(rows);
  std::vector<float> rowFactor(rows), columnFactor(columns);
  for (int64_t i = 0; i < rows; ++i) rowFactor[i] = static_cast<float>(1 / std::sqrt(row[i] / mean));
  for (int64_t j = 0; j < columns; ++j) {
    column[j] = static_cast<float>(column[j] * decay + (1 - decay) * (all[j] / static_cast<double>(rows) + kEpsilonGradient));
    columnFactor[j] = 1 / std::sqrt(column[j]);
  }
  // A row of zeros does not move: of an embedding that is most of them.
  auto still = [&](int64_t i) { return rowSums[i] == 0 && std::all_of(g + i * columns, g + (i + 1) * columns, [](float x) { return x == 0; }); };
  overRows([&](int64_t piece, int64_t i) {
    if (still(i)) return;
    ofUpdate[piece] += static_cast<double>(rowFactor[i]) * rowFactor[i] * scaledSquares(g + i * columns, columnFactor.data(), columns);
  });
  float step = rate.of(total(ofUpdate), total(ofParameter), static_cast<double>(rows) * static_cast<double>(columns));
  overRows([&](int64_t, int64_t i) {
    if (!still(i)) move(p + i * columns, g + i * columns, columnFactor.data(), columns, step * rowFactor[i]);
  });
}

void whole(float* p, const float* g, float* v, int64_t n, double decay, Rate rate) {
  const int64_t pieces = (n + kPiece - 1) / kPiece;
  std::vector<double> ofParameter(pieces), ofUpdate(pieces);
  auto overPieces = [&](auto work) {
    parallelFor(pieces, 1, [&](int64_t begin, int64_t end) {
      for (int64_t piece = begin; piece < end; ++piece) work(piece, piece * kPiece, std::min(kPiece, n - piece * kPiece));
    });
  };
  overPieces([&](int64_t piece, int64_t at, int64_t count) {
    float sums[2];
    moments(g + at, p + at, v + at, count, static_cast<float>(decay), sums);
    ofUpdate[piece] = sums[0];
    ofParameter[piece] = sums[1];
  });
  float step = rate.of(total(ofUpdate), total(ofParameter), static_cast<double>(n));
  overPieces([&](int64_t, int64_t at, int64_t count) { moveByMoment(p + at, g + at, v + at, count, step); });
}

bool fits(const at::Tensor& x) { return x.device().is_cpu() && x.scalar_type() == at::kFloat && x.is_contiguous(); }

void adafactor(at::Tensor parameter, const at::Tensor& gradient, at::TensorList moments, double decay, double learningRate, bool scaled) {
  TORCH_CHECK(fits(parameter) && gradient.sizes() == parameter.sizes() && gradient.device().is_cpu() && gradient.scalar_type() == at::kFloat,
              "needs a parameter and its gradient on the CPU, in float32 and contiguous");
  for (const at::Tensor& moment : moments) TORCH_CHECK(fits(moment), "needs moments on the CPU, in float32 and contiguous");
  auto g = gradient.contiguous();
  float* p = parameter.mutable_data_ptr<float>();
  Rate rate{learningRate, scaled};
  if (parameter.numel() == 0) return;
  if (moments.size() == 2) {
    TORCH_CHECK(parameter.dim() == 2 && moments[0].numel() == parameter.size(0) && moments[1].numel() == parameter.size(1),
                "the moments of a factored matrix are those of its rows and of its columns");
    factored(p, g.const_data_ptr<float>(), moments[0].mutable_data_ptr<float>(), moments[1].mutable_data_ptr<float>(), parameter.size(0),
             parameter.size(1), decay, rate);
  } else {
    TORCH_CHECK(moments.size() == 1 && moments[0].numel() == parameter.numel(), "the moment has the parameter's shape");
    whole(p, g.const_data_ptr<float>(), moments[0].mutable_data_ptr<float>(), parameter.numel(), decay, rate);
  }
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(promot, library) {
  library.def("adafactor_(Tensor(a!) parameter, Tensor gradient, Tensor(b!)[] moments, float decay, float rate, bool scaled) -> ()",
              torch::dispatch(c10::DispatchKey::CPU, adafactor));
}
