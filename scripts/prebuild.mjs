// `npm run prebuild`: compiles the addon for the pinned libtorch and this platform into packages/torch/prebuilds, from
// where `npm pack` takes it. Make it on the oldest system that is to be served: it needs that C library or a later one.
import { setup } from './setup.mjs';

await setup();
const { prebuild } = await import('../packages/torch/dist/inner.js');
console.log(await prebuild());
