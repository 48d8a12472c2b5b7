import { expect, test } from 'vitest';
import { ones } from '../creation.js';
import { endPreload, preload } from './preload.js';

test('tensors live on when the thread that loaded libtorch has ended', async () => {
  preload();
  const one = ones([3]);
  await endPreload();
  preload(); // does nothing any more
  await endPreload();
  expect(one.add(ones([3])).toNumbers()).toEqual([2, 2, 2]);
  one.dispose();
});
