// The entry `promot/train`. Training and its settings.
import './lab/register.js';

export * from '@promot/core/train';
