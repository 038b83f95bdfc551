/**
 * Answers to an authority that looks whether a name leads here (RFC 8555 section 8.3, http-01): only for tokens of an order that is open.
 * All other paths of that kind are the application's.
 */

const PREFIX = '/.well-known/acme-challenge/'

/**
 * The answer to a request for a token; undefined where it is none of ours.
 * @param answers by token
 * @param target in origin form
 */
export function acmeAnswerTo(answers: ReadonlyMap<string, string>, method: string, target: string): string | undefined {
  if (answers.size === 0 || (method !== 'GET' && method !== 'HEAD') || !target.startsWith(PREFIX)) return undefined
  return answers.get(target.slice(PREFIX.length))
}
