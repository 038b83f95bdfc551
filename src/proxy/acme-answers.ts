/**
 * Answers ACME http-01 challenges (RFC 8555 section 8.3), only for tokens of an open order. All other such paths are left to the
 * application.
 */

const PREFIX = '/.well-known/acme-challenge/'

/**
 * The answer to a request for a token; undefined if the token is not ours.
 * @param answers by token
 * @param target in origin form
 */
export function acmeAnswerTo(answers: ReadonlyMap<string, string>, method: string, target: string): string | undefined {
  if (answers.size === 0 || (method !== 'GET' && method !== 'HEAD') || !target.startsWith(PREFIX)) return undefined
  return answers.get(target.slice(PREFIX.length))
}
