// Values of JavaScript between ranks, as bytes: whatever Node.js can clone. For facts and results, not for tensors.
import { deserialize, serialize } from 'node:v8';
import { fromBytes, tensor, zeros } from '../creation.js';
import { withDevice } from '../device.js';
import { scope } from '../scope.js';
import { allGatherIntoTensor, broadcast, getWorldSize, isInitialized } from './group.js';

/**
 * Gives every rank the value of rank `source`; the others' own values are not looked at. Without a group, the value
 * itself.
 *
 * @example const { step } = await broadcastObject(getRank() === 0 ? readState() : undefined);
 */
export async function broadcastObject<T>(value: T, source = 0): Promise<T> {
  if (!isInitialized()) return value;
  const [result] = (await exchange(value, (bytes, all) => broadcastBytes(bytes, all, source))) as [T];
  return result;
}

/** The values of all ranks, in their order. Without a group, this one's alone. */
export async function allGatherObject<T>(value: T): Promise<T[]> {
  if (!isInitialized()) return [value];
  return (await exchange(value, gatherBytes)) as T[];
}

/** Numbers travel on the CPU, whatever device is at work: Gloo is always there. */
async function exchange(
  value: unknown,
  send: (bytes: Uint8Array, lengths: number[]) => Promise<Uint8Array[]>,
): Promise<unknown[]> {
  return scope(() =>
    withDevice('cpu', async () => {
      const bytes = serialize(value);
      const lengths = zeros([getWorldSize()], 'int64');
      await allGatherIntoTensor(lengths, tensor([bytes.length], { dtype: 'int64' }));
      return (await send(bytes, lengths.toNumbers())).map((own) => deserialize(own) as unknown);
    }),
  );
}

async function broadcastBytes(bytes: Uint8Array, lengths: number[], source: number): Promise<Uint8Array[]> {
  const length = lengths[source];
  if (length === undefined) throw new Error(`broadcastObject: there is no rank ${source}`);
  const buffer = zeros([length], 'uint8');
  if (bytes.length === length) buffer.copy_(fromBytes(bytes, 'uint8', [length]));
  await broadcast(buffer, source);
  return [buffer.toBytes()];
}

async function gatherBytes(bytes: Uint8Array, lengths: number[]): Promise<Uint8Array[]> {
  // All pieces have the room of the longest.
  const room = Math.max(...lengths);
  const own = zeros([room], 'uint8');
  own.narrow(0, 0, bytes.length).copy_(fromBytes(bytes, 'uint8', [bytes.length]));
  const all = zeros([room * lengths.length], 'uint8');
  await allGatherIntoTensor(all, own);
  const received = all.toBytes();
  return lengths.map((length, rank) => received.subarray(rank * room, rank * room + length));
}
