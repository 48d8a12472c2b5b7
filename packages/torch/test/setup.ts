// Shared by the tests of set-up: temporary folders, folders and archives that look like libtorch, a server on loopback.
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { onTestFinished } from 'vitest';
import { libraryName } from '../src/setup/locate.js';

/** A folder that is gone after the test. */
export async function temporaryFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'promot-setup-test-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** The files that make a folder count as libtorch, with their contents. */
export function libtorchFiles(version = '2.13.0'): Record<string, string> {
  return {
    [`lib/${libraryName('torch_cpu')}`]: 'torch_cpu',
    [`lib/${libraryName('c10')}`]: 'torchCheckFailEPKcS2_jRKNSt7__cxx1112basic_string',
    'include/ATen/core/dispatch/Dispatcher.h': '',
    'build-version': `${version}\n`,
  };
}

/** Writes files, given as a record of relative path and content. */
export async function writeFiles(folder: string, files: Record<string, string>): Promise<string> {
  for (const [name, content] of Object.entries(files)) {
    const path = join(folder, name);
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, content);
  }
  return folder;
}

/** Serves on loopback until the test ends. @returns the address, without a slash at the end. */
export async function serve(listener: RequestListener): Promise<string> {
  const server = createServer(listener);
  await new Promise<void>((ready) => server.listen(0, '127.0.0.1', ready));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}
