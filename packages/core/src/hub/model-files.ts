// Models by their hub names: which files of a repository make a model.
import type { HubOptions } from './settings.js';
import { hubSnapshot } from './snapshot.js';

/**
 * Brings a model from the hub into the cache and gives its folder: configuration, tokenizer, licence, and the weights,
 * as safetensors where the repository has them, else as PyTorch's files; weights of other frameworks are left out.
 * Errors: those of `hubSnapshot`; a UserError where the repository holds no such weights.
 */
export async function hubModel(name: string, options: HubOptions = {}): Promise<string> {
  const wanted = (paths: readonly string[]): string[] => {
    const weights = [
      /^model(?:-\d+-of-\d+)?\.safetensors(?:\.index\.json)?$/u,
      /^pytorch_model(?:-\d+-of-\d+)?\.bin(?:\.index\.json)?$/u,
    ]
      .map((pattern) => paths.filter((path) => pattern.test(path)))
      .find((files) => files.length > 0);
    if (weights === undefined) return [];
    const rest =
      /^(?:config|generation_config|tokenizer|tokenizer_config|special_tokens_map|added_tokens|vocab)\.json$|^(?:spiece|tokenizer|sentencepiece\.bpe)\.model$|^merges\.txt$/u;
    // What stays as it is when the model is saved again: chat templates, licence, and the card that names it.
    const kept =
      /^(?:chat_template\.(?:jinja|json)|additional_chat_templates\/[\w.-]+\.jinja|README\.md|(?:LICEN[CS]E|NOTICE|USE_POLICY|COPYING)[\w.-]*)$/iu;
    return [...weights, ...paths.filter((path) => rest.test(path) || kept.test(path))];
  };
  return (await hubSnapshot({ type: 'model', name }, wanted, options)).folder;
}
