// Process groups: see distributed.cc.
#pragma once

#include <napi.h>

/**
 * Adds to the addon distributedBackends { gloo, nccl }: what was there to compile with. Where there is Gloo, also
 * these; all but note give a promise.
 * - openStore(host, port, server, prefix, milliseconds, key): the store; from then on the key holds a count that grows, and the note
 * - note(text): where this rank is
 * - storeSet(key, value), storeAdd(key, number), storeCheck(keys), storeGet(keys that are there)
 * - openGroup(name, rank, size, milliseconds, interface or '', address or '', device for NCCL or -1)
 * - waitTensors(tensors): the end of the collectives that make them
 * - closeGroup(store too): the end of the group and the note, and of the store
 */
void addDistributed(Napi::Env env, Napi::Object exports);
