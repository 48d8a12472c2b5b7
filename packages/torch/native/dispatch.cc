// Any ATen operator by name: JavaScript arguments to a boxed call and back, driven by the operator's schema.
#include "dispatch.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Context.h>
#include <ATen/core/List.h>
#include <c10/core/Device.h>

#include <sstream>

#include "private.h"
#include "state.h"

namespace {

const std::pair<const char*, c10::ScalarType> kTypes[] = {
    {"float32", c10::kFloat}, {"bfloat16", c10::kBFloat16}, {"float16", c10::kHalf}, {"float64", c10::kDouble},
    {"int64", c10::kLong},    {"int32", c10::kInt},         {"int16", c10::kShort},  {"int8", c10::kChar},
    {"uint8", c10::kByte},    {"bool", c10::kBool},
};

c10::Device firstDevice(const std::vector<c10::IValue>& stack) {
  for (auto& value : stack)
    if (value.isTensor() && value.toTensor().defined()) return value.toTensor().device();
  return c10::kCPU;
}

at::Generator seeded(c10::Device device, uint64_t seed) {
  if (device.is_cpu()) return at::detail::createCPUGenerator(seed);
  at::Generator generator = at::globalContext().getAcceleratorHooksInterface(device.type()).getNewGenerator(device.index());
  generator.set_current_seed(seed);
  return generator;
}

int64_t toInt(Napi::Value value) {
  if (value.IsBoolean()) return value.As<Napi::Boolean>().Value();
  if (!value.IsNumber()) throw std::invalid_argument("expected a number");
  double number = value.As<Napi::Number>().DoubleValue();
  if (!(number >= -9007199254740992.0 && number <= 9007199254740992.0) || number != static_cast<double>(static_cast<int64_t>(number)))
    throw std::invalid_argument("expected an integer, got " + std::to_string(number));
  return static_cast<int64_t>(number);
}

double toDouble(Napi::Value value) {
  if (!value.IsNumber()) throw std::invalid_argument("expected a number");
  return value.As<Napi::Number>().DoubleValue();
}

bool toBool(Napi::Value value) {
  if (!value.IsBoolean()) throw std::invalid_argument("expected true or false");
  return value.As<Napi::Boolean>().Value();
}

/** An integer-valued number is an integer scalar, so that integer tensors stay integers. */
at::Scalar toScalar(Napi::Value value) {
  if (value.IsBoolean()) return at::Scalar(value.As<Napi::Boolean>().Value());
  double number = toDouble(value);
  if (std::abs(number) < 9007199254740992.0 && number == static_cast<double>(static_cast<int64_t>(number)))
    return at::Scalar(static_cast<int64_t>(number));
  return at::Scalar(number);
}

c10::IValue toIValue(State& state, Napi::Value value, const c10::TypePtr& type, const std::vector<c10::IValue>& before);

template <typename T, typename F>
c10::IValue toList(Napi::Array array, F convert) {
  c10::List<T> list;
  list.reserve(array.Length());
  for (uint32_t i = 0; i < array.Length(); ++i) list.push_back(convert(array.Get(i)));
  return list;
}

c10::IValue listToIValue(State& state, Napi::Value value, const c10::TypePtr& element) {
  // PyTorch takes one integer where a list of them is wanted (dim=0).
  if (value.IsNumber() && (element->kind() == c10::TypeKind::IntType || element->kind() == c10::TypeKind::SymIntType))
    return c10::List<int64_t>({toInt(value)});
  if (!value.IsArray()) throw std::invalid_argument("expected an array");
  auto array = value.As<Napi::Array>();
  switch (element->kind()) {
    case c10::TypeKind::TensorType:
      return toList<at::Tensor>(array, [&](Napi::Value v) { return state.get(v); });
    case c10::TypeKind::IntType:
    case c10::TypeKind::SymIntType:
      return toList<int64_t>(array, toInt);
    case c10::TypeKind::FloatType:
      return toList<double>(array, toDouble);
    case c10::TypeKind::BoolType:
      return toList<bool>(array, toBool);
    case c10::TypeKind::NumberType: {
      return toList<at::Scalar>(array, toScalar);
    }
    case c10::TypeKind::OptionalType: {
      auto absent = [](Napi::Value v) { return v.IsNull() || v.IsUndefined(); };
      switch (element->expectRef<c10::OptionalType>().getElementType()->kind()) {
        case c10::TypeKind::TensorType:
          return toList<std::optional<at::Tensor>>(array, [&](Napi::Value v) -> std::optional<at::Tensor> {
            return absent(v) ? std::nullopt : std::optional(state.get(v));
          });
        case c10::TypeKind::NumberType:
          return toList<std::optional<at::Scalar>>(array, [&](Napi::Value v) -> std::optional<at::Scalar> {
            return absent(v) ? std::nullopt : std::optional(toScalar(v));
          });
        default:
          break;
      }
      throw std::invalid_argument("a list of " + element->str() + " cannot be given from JavaScript");
    }
    default:
      throw std::invalid_argument("a list of " + element->str() + " cannot be given from JavaScript");
  }
}

c10::IValue toIValue(State& state, Napi::Value value, const c10::TypePtr& type, const std::vector<c10::IValue>& before) {
  switch (type->kind()) {
    case c10::TypeKind::OptionalType:
      if (value.IsNull() || value.IsUndefined()) return {};
      return toIValue(state, value, type->expectRef<c10::OptionalType>().getElementType(), before);
    case c10::TypeKind::TensorType:
      return state.get(value);
    case c10::TypeKind::ListType:
      return listToIValue(state, value, type->expectRef<c10::ListType>().getElementType());
    case c10::TypeKind::IntType:
    case c10::TypeKind::SymIntType:
      // Element types travel as integers in schemas; people write their names.
      if (value.IsString()) return static_cast<int64_t>(scalarType(value.As<Napi::String>()));
      return toInt(value);
    case c10::TypeKind::FloatType:
      return toDouble(value);
    case c10::TypeKind::BoolType:
      return toBool(value);
    case c10::TypeKind::NumberType:
      return toScalar(value);
    case c10::TypeKind::StringType:
      if (!value.IsString()) throw std::invalid_argument("expected a string");
      return value.As<Napi::String>().Utf8Value();
    case c10::TypeKind::DeviceObjType:
      return c10::Device(value.As<Napi::String>().Utf8Value());
    case c10::TypeKind::GeneratorType:
      // A seed in place of a generator: every draw is a function of the seed alone.
      return seeded(firstDevice(before), static_cast<uint64_t>(toInt(value)));
    case c10::TypeKind::AnyType:
      // The collectives' group, which newer libtorches take by name or as an object.
      if (value.IsString()) return value.As<Napi::String>().Utf8Value();
      throw std::invalid_argument("expected a string");
    default:
      if (value.IsString()) return static_cast<int64_t>(scalarType(value.As<Napi::String>()));
      throw std::invalid_argument("a " + type->str() + " cannot be given from JavaScript");
  }
}

/**
 * Element types, layouts and memory formats travel as integers; libtorch looks them up in tables without looking
 * whether they are in there (a numeric element type of -2 ended the process with SIGFPE). Sparse layouts are refused:
 * libtorch checks little there (a compressed layout with no dimensions wrote outside its memory).
 */
void checkEnumeration(Napi::Value value, const c10::TypePtr& type) {
  if (type->kind() == c10::TypeKind::OptionalType)
    return checkEnumeration(value, type->expectRef<c10::OptionalType>().getElementType());
  if (!value.IsNumber()) return;
  auto below = [&](int64_t end, const char* what) {
    int64_t number = toInt(value);
    if (number < 0 || number >= end)
      throw std::invalid_argument(std::string("there is no ") + what + " " + std::to_string(number));
  };
  switch (type->kind()) {
    case c10::TypeKind::ScalarTypeType:
      throw std::invalid_argument("an element type is given by its name, such as 'float32'");
    case c10::TypeKind::LayoutType:
      if (toInt(value) != static_cast<int64_t>(c10::Layout::Strided)) throw std::invalid_argument("tensors are dense: the one layout is 0 (strided)");
      return;
    case c10::TypeKind::MemoryFormatType:
      return below(static_cast<int64_t>(c10::MemoryFormat::NumOptions), "memory format");
    default:
      return;
  }
}

Napi::Value fromIValue(Napi::Env env, State& state, const c10::IValue& value) {
  if (value.isNone()) return env.Null();
  if (value.isTensor()) return state.put(env, value.toTensor());
  if (value.isBool()) return Napi::Boolean::New(env, value.toBool());
  if (value.isInt()) return Napi::Number::New(env, static_cast<double>(value.toInt()));
  if (value.isDouble()) return Napi::Number::New(env, value.toDouble());
  if (value.isSymInt()) return Napi::Number::New(env, static_cast<double>(value.toSymInt().expect_int()));
  if (value.isString()) return Napi::String::New(env, value.toStringRef());
  if (value.isScalar()) return Napi::Number::New(env, value.toScalar().toDouble());
  if (value.isTensorList() || value.isList() || value.isTuple()) {
    std::vector<c10::IValue> items;
    if (value.isTuple()) {
      for (auto& item : value.toTupleRef().elements()) items.push_back(item);
    } else {
      for (const c10::IValue& item : value.toListRef()) items.push_back(item);
    }
    auto array = Napi::Array::New(env, items.size());
    for (size_t i = 0; i < items.size(); ++i) array.Set(static_cast<uint32_t>(i), fromIValue(env, state, items[i]));
    return array;
  }
  throw std::invalid_argument("a result of kind " + value.tagKind() + " cannot be given to JavaScript");
}

void describe(std::ostream& out, const c10::IValue& value) {
  if (value.isTensor()) {
    const auto& tensor = value.toTensor();
    if (!tensor.defined()) {
      out << "undefined";
      return;
    }
    out << scalarTypeName(tensor.scalar_type()) << "[";
    for (int64_t i = 0; i < tensor.dim(); ++i) out << (i ? "," : "") << tensor.size(i);
    out << "]";
    if (!tensor.device().is_cpu()) out << "@" << tensor.device();
  } else if (value.isTensorList()) {
    out << "(";
    bool first = true;
    for (const at::Tensor& tensor : value.toTensorVector()) {
      if (!first) out << ", ";
      first = false;
      describe(out, tensor);
    }
    out << ")";
  } else if (value.isInt() || value.isDouble() || value.isBool() || value.isIntList() || value.isString() || value.isDoubleList()) {
    out << value;
  } else {
    out << value.tagKind();
  }
}

std::string firstLine(const std::string& text) { return text.substr(0, text.find('\n')); }

}  // namespace

c10::ScalarType scalarType(const std::string& name) {
  for (auto& [text, type] : kTypes)
    if (name == text) return type;
  throw std::invalid_argument("unknown element type '" + name + "'");
}

std::string scalarTypeName(c10::ScalarType type) {
  for (auto& [text, known] : kTypes)
    if (type == known) return text;
  return c10::toString(type);
}

std::string messageOf(const std::exception& error) {
  if (auto torch = dynamic_cast<const c10::Error*>(&error)) return firstLine(torch->what_without_backtrace());
  return firstLine(error.what());
}

Napi::Value findOperator(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  State& state = State::of(env);
  std::string full = info[0].As<Napi::String>();
  auto known = state.operatorIndex.find(full);
  if (known != state.operatorIndex.end()) return Napi::Number::New(env, static_cast<double>(known->second));
  // aten::add.Tensor: the part behind the point is the overload.
  auto colon = full.find("::");
  auto point = full.find('.', colon == std::string::npos ? 0 : colon);
  c10::OperatorName name{full.substr(0, point), point == std::string::npos ? "" : full.substr(point + 1)};
  auto found = c10::Dispatcher::singleton().findSchema(name);
  if (!found) throw Napi::Error::New(env, "libtorch has no operator " + full);
  size_t index = state.operators.size();
  state.operators.push_back({*found, privateCheckOf(full)});
  state.operatorIndex.emplace(full, index);
  return Napi::Number::New(env, static_cast<double>(index));
}

Napi::Value schemaOf(const Napi::CallbackInfo& info) {
  State& state = State::of(info.Env());
  std::ostringstream out;
  out << state.operators.at(info[0].As<Napi::Number>().Uint32Value()).handle.schema();
  return Napi::String::New(info.Env(), out.str());
}

Napi::Value callOperator(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  State& state = State::of(env);
  uint32_t index = info[0].As<Napi::Number>().Uint32Value();
  if (index >= state.operators.size()) throw Napi::Error::New(env, "unknown operator");
  const auto& [op, check] = state.operators[index];
  const c10::FunctionSchema& schema = op.schema();
  const auto& parameters = schema.arguments();

  std::vector<c10::IValue> stack;
  stack.reserve(parameters.size());
  auto fail = [&](const std::string& why, const std::vector<c10::IValue>& given) {
    std::ostringstream out;
    out << schema.operator_name() << "(";
    for (size_t i = 0; i < given.size(); ++i) {
      if (i) out << ", ";
      describe(out, given[i]);
    }
    out << "): " << why;
    return Napi::Error::New(env, out.str());
  };

  if (info.Length() - 1 > parameters.size())
    throw fail("takes at most " + std::to_string(parameters.size()) + " arguments, got " + std::to_string(info.Length() - 1), stack);
  for (size_t i = 0; i < parameters.size(); ++i) {
    const auto& parameter = parameters[i];
    Napi::Value value = i + 1 < info.Length() ? info[i + 1] : env.Undefined();
    try {
      if (value.IsUndefined()) {
        if (parameter.default_value()) {
          stack.push_back(*parameter.default_value());
          continue;
        }
        if (parameter.type()->kind() != c10::TypeKind::OptionalType) throw std::invalid_argument("is missing");
      }
      checkEnumeration(value, parameter.real_type());
      stack.push_back(toIValue(state, value, parameter.type(), stack));
    } catch (const std::exception& error) {
      throw fail("argument '" + parameter.name() + "': " + messageOf(error), stack);
    }
  }

  try {
    if (check) check(stack);
  } catch (const std::exception& error) {
    throw fail(messageOf(error), stack);
  }
  // The stack is consumed by the call; the arguments are kept for the message only when something goes wrong.
  std::vector<c10::IValue> results = stack;
  try {
    op.callBoxed(&results);
  } catch (const std::exception& error) {
    throw fail(messageOf(error), stack);
  }

  // An operator that writes into an argument returns that argument: the caller has it already.
  const auto& returns = schema.returns();
  if (results.empty()) return env.Undefined();
  if (returns.size() == 1) {
    if (returns[0].alias_info() && returns[0].alias_info()->isWrite()) return env.Undefined();
    return fromIValue(env, state, results[0]);
  }
  auto array = Napi::Array::New(env, results.size());
  for (size_t i = 0; i < results.size(); ++i) array.Set(static_cast<uint32_t>(i), fromIValue(env, state, results[i]));
  return array;
}
