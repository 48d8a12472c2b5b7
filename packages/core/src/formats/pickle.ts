// A pickle reader for state dicts: it builds plain data and tensors' descriptions and can run nothing.

import { UserError } from '../base/errors.js';
import { dtypeSizes, type StoredDtype } from './stored-tensor.js';

/** A storage that a pickle refers to: `elements` values of `dtype` in the archive's entry `data/<key>`. */
class PickledStorage {
  constructor(
    readonly dtype: StoredDtype,
    readonly key: string,
    readonly elements: number,
  ) {}
}

/** A tensor as `torch._utils._rebuild_tensor_v2` describes it; offset and strides in elements. */
export class PickledTensor {
  constructor(
    readonly storage: PickledStorage,
    readonly offset: number,
    readonly shape: number[],
    readonly strides: number[],
  ) {}
}

/** What a state dict is made of. Dictionaries are Maps; lists, tuples and torch.Size are arrays. */
type Pickled =
  | null
  | boolean
  | number
  | string
  | Pickled[]
  | Map<Pickled, Pickled>
  | PickledStorage
  | PickledTensor
  | Global;

/** A name that the pickle imports. Only the names below exist; anything else is refused when it is read. */
class Global {
  constructor(readonly name: string) {}
}

const STORAGES: ReadonlyMap<string, StoredDtype> = new Map([
  ['torch.DoubleStorage', 'float64'],
  ['torch.FloatStorage', 'float32'],
  ['torch.HalfStorage', 'float16'],
  ['torch.BFloat16Storage', 'bfloat16'],
  ['torch.LongStorage', 'int64'],
  ['torch.IntStorage', 'int32'],
  ['torch.ShortStorage', 'int16'],
  ['torch.CharStorage', 'int8'],
  ['torch.ByteStorage', 'uint8'],
  ['torch.BoolStorage', 'bool'],
]);

const ORDERED_DICT = 'collections.OrderedDict';
const SIZE = 'torch.Size';
const TENSOR = 'torch._utils._rebuild_tensor_v2';
const PARAMETER = 'torch._utils._rebuild_parameter';

const MARK = Symbol('mark');

/**
 * Reads a pickle (protocol 2 and the opcodes of later ones that stand for the same data).
 *
 * @param place for messages: the file and entry.
 * Throws a UserError, naming it, for every import and opcode that a state dict does not need, and for damaged data.
 */
export function readPickle(bytes: Buffer, place: string): Pickled {
  const stack: (Pickled | typeof MARK)[] = [];
  const memo = new Map<number, Pickled>();
  let at = 0;

  const damaged = (what: string) => new UserError(`${place} is damaged: ${what}.`, { code: 'damaged-file' });
  const take = (length: number): number => {
    if (length < 0 || at + length > bytes.length) throw damaged('its pickle ends early');
    at += length;
    return at - length;
  };
  const pop = (): Pickled => {
    const value = stack.pop();
    if (value === undefined || value === MARK) throw damaged('its pickle takes what is not there');
    return value as Pickled;
  };
  const popToMark = (): Pickled[] => {
    const mark = stack.lastIndexOf(MARK);
    if (mark < 0) throw damaged('its pickle takes what is not there');
    const values = stack.splice(mark);
    return values.slice(1) as Pickled[];
  };
  const line = (): string => {
    const end = bytes.indexOf(0x0a, at);
    if (end < 0) throw damaged('its pickle ends early');
    const text = bytes.toString('utf8', at, end);
    at = end + 1;
    return text;
  };
  const text = (length: number): string => {
    const start = take(length);
    return bytes.toString('utf8', start, start + length);
  };
  const recall = (key: number): Pickled => {
    const value = memo.get(key);
    if (value === undefined) throw damaged('its pickle recalls what it never kept');
    return value;
  };
  const top = (): Pickled => {
    const value = pop();
    stack.push(value);
    return value;
  };
  const setItems = (items: Pickled[]): void => {
    const target = top();
    if (!(target instanceof Map) || items.length % 2 !== 0) throw damaged('its pickle fills what is not a dictionary');
    for (let i = 0; i < items.length; i += 2) target.set(items[i]!, items[i + 1]!);
  };
  const append = (items: Pickled[]): void => {
    const target = top();
    if (!Array.isArray(target)) throw damaged('its pickle fills what is not a list');
    for (const item of items) target.push(item);
  };

  for (;;) {
    const opcode = bytes[take(1)]!;
    switch (opcode) {
      case 0x80: // PROTO
        if (bytes[take(1)]! > 5) throw damaged('its pickle protocol is unknown');
        break;
      case 0x95: // FRAME
        take(8);
        break;
      case 0x2e: // STOP
        return pop();
      case 0x28: // MARK
        stack.push(MARK);
        break;
      case 0x4e: // NONE
        stack.push(null);
        break;
      case 0x88: // NEWTRUE
        stack.push(true);
        break;
      case 0x89: // NEWFALSE
        stack.push(false);
        break;
      case 0x4a: // BININT
        stack.push(bytes.readInt32LE(take(4)));
        break;
      case 0x4b: // BININT1
        stack.push(bytes[take(1)]!);
        break;
      case 0x4d: // BININT2
        stack.push(bytes.readUInt16LE(take(2)));
        break;
      case 0x8a: {
        // LONG1: an integer of some bytes, two's complement
        const length = bytes[take(1)]!;
        if (length > 8) throw damaged('it holds a number that is too large');
        const value = length === 0 ? 0n : BigInt.asIntN(8 * length, littleEndian(bytes, take(length), length));
        if (value > Number.MAX_SAFE_INTEGER || value < Number.MIN_SAFE_INTEGER) {
          throw damaged('it holds a number that is too large');
        }
        stack.push(Number(value));
        break;
      }
      case 0x47: // BINFLOAT
        stack.push(bytes.readDoubleBE(take(8)));
        break;
      case 0x58: // BINUNICODE
        stack.push(text(bytes.readUInt32LE(take(4))));
        break;
      case 0x8c: // SHORT_BINUNICODE
        stack.push(text(bytes[take(1)]!));
        break;
      case 0x7d: // EMPTY_DICT
        stack.push(new Map());
        break;
      case 0x5d: // EMPTY_LIST
      case 0x29: // EMPTY_TUPLE
        stack.push([]);
        break;
      case 0x74: // TUPLE
        stack.push(popToMark());
        break;
      case 0x85: // TUPLE1
        stack.push([pop()]);
        break;
      case 0x86: // TUPLE2
        stack.push([pop(), pop()].reverse());
        break;
      case 0x87: // TUPLE3
        stack.push([pop(), pop(), pop()].reverse());
        break;
      case 0x61: {
        // APPEND
        const item = pop();
        append([item]);
        break;
      }
      case 0x65: // APPENDS
        append(popToMark());
        break;
      case 0x73: {
        // SETITEM
        const value = pop();
        const key = pop();
        setItems([key, value]);
        break;
      }
      case 0x75: // SETITEMS
        setItems(popToMark());
        break;
      case 0x71: // BINPUT
        memo.set(bytes[take(1)]!, top());
        break;
      case 0x72: // LONG_BINPUT
        memo.set(bytes.readUInt32LE(take(4)), top());
        break;
      case 0x94: // MEMOIZE
        memo.set(memo.size, top());
        break;
      case 0x68: // BINGET
        stack.push(recall(bytes[take(1)]!));
        break;
      case 0x6a: // LONG_BINGET
        stack.push(recall(bytes.readUInt32LE(take(4))));
        break;
      case 0x63: // GLOBAL
        stack.push(importName(`${line()}.${line()}`, place));
        break;
      case 0x93: {
        // STACK_GLOBAL
        const name = pop();
        const module = pop();
        if (typeof name !== 'string' || typeof module !== 'string')
          throw damaged('its pickle imports what has no name');
        stack.push(importName(`${module}.${name}`, place));
        break;
      }
      case 0x51: // BINPERSID
        stack.push(persistentStorage(pop(), damaged));
        break;
      case 0x52: {
        // REDUCE
        const parameters = pop();
        stack.push(call(pop(), parameters, damaged));
        break;
      }
      case 0x62: {
        // BUILD: attributes; state dicts hang their `_metadata` (module versions) on the dictionary.
        const state = pop();
        if (!(state instanceof Map) || !(top() instanceof Map)) {
          throw new UserError(
            `${place} would set attributes of an object, which no state dict needs. It was not read.`,
          );
        }
        break;
      }
      default:
        throw new UserError(
          `${place} uses the pickle opcode 0x${opcode.toString(16).padStart(2, '0')}, which no state dict needs. ` +
            'It was not read; save the state dict alone, or as safetensors.',
        );
    }
  }
}

function littleEndian(bytes: Buffer, start: number, length: number): bigint {
  let value = 0n;
  for (let i = length - 1; i >= 0; i--) value = (value << 8n) | BigInt(bytes[start + i]!);
  return value;
}

function importName(name: string, place: string): Global {
  if (![ORDERED_DICT, SIZE, TENSOR, PARAMETER].includes(name) && !STORAGES.has(name)) {
    throw new UserError(
      `${place} wants Python's ${JSON.stringify(name.slice(0, 100))}, which no state dict needs; it may be an ` +
        'attack. It was not read; save the state dict alone, or as safetensors.',
    );
  }
  return new Global(name);
}

type Damaged = (what: string) => UserError;

/** `('storage', torch.FloatStorage, '0', 'cpu', 1024)`. */
function persistentStorage(id: Pickled, damaged: Damaged): PickledStorage {
  if (Array.isArray(id)) {
    const [kind, type, key, , elements] = id;
    const dtype = type instanceof Global ? STORAGES.get(type.name) : undefined;
    if (kind === 'storage' && dtype && typeof key === 'string' && isCount(elements)) {
      return new PickledStorage(dtype, key, elements);
    }
  }
  throw damaged('it refers to something other than a tensor storage');
}

/** The calls that a state dict makes, done without calling anything. */
function call(target: Pickled, parameters: Pickled, damaged: Damaged): Pickled {
  if (!(target instanceof Global) || !Array.isArray(parameters)) throw damaged('its pickle calls what is no function');
  switch (target.name) {
    case ORDERED_DICT: {
      if (parameters.length === 0) return new Map();
      const [pairs] = parameters; // protocol 0 and 1 give the items as a list of pairs
      const isPairs = Array.isArray(pairs) && pairs.every((pair) => Array.isArray(pair) && pair.length === 2);
      if (!isPairs) throw damaged('it holds an unusual OrderedDict');
      return new Map(pairs as [Pickled, Pickled][]);
    }
    case SIZE:
      if (!isCounts(parameters[0])) throw damaged('it holds an unusual torch.Size');
      return parameters[0];
    case PARAMETER:
      if (!(parameters[0] instanceof PickledTensor)) throw damaged('it holds a parameter without a tensor');
      return parameters[0];
    case TENSOR: {
      const [storage, offset, shape, strides] = parameters;
      if (
        !(storage instanceof PickledStorage) ||
        !isCount(offset) ||
        !isCounts(shape) ||
        !isCounts(strides) ||
        shape.length !== strides.length
      ) {
        throw damaged('it holds an unusual tensor');
      }
      return new PickledTensor(storage, offset, shape, strides);
    }
    default:
      throw damaged(`its pickle calls ${target.name}`);
  }
}

function isCount(value: Pickled | undefined): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}

function isCounts(value: Pickled | undefined): value is number[] {
  return Array.isArray(value) && value.every(isCount);
}

/** Bytes of a storage's elements. */
export function storageBytes(storage: PickledStorage): number {
  return storage.elements * dtypeSizes[storage.dtype];
}
