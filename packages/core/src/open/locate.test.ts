import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { UserError } from '../base/errors.js';
import { startHubServer } from '../hub/fixtures/hub-server.js';
import { locateModel, namedModels } from './locate.js';

test('a path, a short name, a hub name, nothing', async () => {
  const here = import.meta.dirname;
  expect(await locateModel(here)).toBe(here);
  namedModels.add({ name: 'short', folder: () => '/models/short' });
  expect(await locateModel('short')).toBe('/models/short');
  await expect(locateModel('./no/where')).rejects.toThrow(UserError);
  await expect(locateModel('nowhere')).rejects.toThrow(/nowhere: no such model/u);

  const files = { 'config.json': '{"a":1}', 'model.safetensors': 'weights', 'tf_model.h5': 'not wanted' };
  const server = await startHubServer({ 'models/some/model': { revisions: { main: files } } });
  const cacheFolder = mkdtempSync(join(tmpdir(), 'promot-hub-'));
  try {
    const hub = { endpoint: server.endpoint, cacheFolder, retryDelay: 0 };
    const folder = await locateModel('some/model', hub);
    expect(readFileSync(join(folder, 'config.json'), 'utf8')).toBe('{"a":1}');
    expect(existsSync(join(folder, 'tf_model.h5'))).toBe(false);
    const slip = locateModel('some/other', hub);
    await expect(slip).rejects.toThrow(UserError);
    await expect(slip).rejects.toThrow(
      /^some\/other: no such folder or file, and on the hub: model some\/other does not exist/u,
    );
  } finally {
    await server.close();
    rmSync(cacheFolder, { recursive: true, force: true });
  }
});

test('a slip in a local path used to look like a network that is down', async () => {
  const hub = { endpoint: 'http://127.0.0.1:9', retryDelay: 0 };
  await expect(locateModel('models/foo', hub)).rejects.toThrow(
    /^models\/foo: no such folder or file, and on the hub: model models\/foo: cannot reach 127\.0\.0\.1:9/u,
  );
});
