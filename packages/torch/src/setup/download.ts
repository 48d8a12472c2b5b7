// placeholder

import { SetupError } from './errors.js';
import type { Libtorch } from './locate.js';
import type { OnProgress } from './progress.js';
export async function downloadLibtorch(_onProgress: OnProgress): Promise<Libtorch> {
  throw new SetupError('no libtorch; set LIBTORCH');
}
