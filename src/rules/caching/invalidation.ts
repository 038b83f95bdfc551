/**
 * Invalidation (RFC 9111 section 4.4): what a successful unsafe request makes untrue.
 */

import { fieldValues } from '../http/exchange.ts'
import type { CacheRequest } from './meta.ts'
import { urlForm } from './purge.ts'
import { resolveSameOrigin, targetUri } from './uri.ts'

/** Safe by RFC 9110 section 9.2.1 and by the registry of methods; every other one, known or not, may change things. */
const SAFE_METHODS: ReadonlySet<string> = new Set([
  'GET',
  'HEAD',
  'OPTIONS',
  'TRACE',
  'PROPFIND',
  'QUERY',
  'REPORT',
  'SEARCH',
])

/** Whether a method is known to change nothing. Methods are case-sensitive (RFC 9110 section 9.1). */
export function isSafeMethod(method: string): boolean {
  return SAFE_METHODS.has(method)
}

/**
 * The URLs whose stored answers an answer makes untrue, in every route, as a purge names them, and as received where that differs: the request's own, and what
 * Location and Content-Location refer to, where that is of the same origin. Empty for safe methods and for statuses other than
 * 2xx and 3xx.
 */
export function invalidatedUrls(
  request: CacheRequest,
  answer: { readonly status: number; readonly rawHeaders: readonly string[] },
): readonly string[] {
  if (isSafeMethod(request.method) || answer.status < 200 || answer.status >= 400) return []
  const { authority, target } = targetUri(request)
  const targets = new Set([target])
  for (const name of ['location', 'content-location']) {
    for (const reference of fieldValues(answer.rawHeaders, name)) {
      const referred = resolveSameOrigin(request, reference)
      if (referred !== null) targets.add(referred)
    }
  }
  const urls = [...targets].map((one) => `http://${authority}${one}`)
  // As received, too: instances of the previous release compare bytes.
  return [...new Set([...urls.map((url) => `http://${urlForm(url)}`), ...urls])]
}
