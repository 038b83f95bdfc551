/**
 * Requests, answers and stored answers for the tests of the cache policy, at one fixed time.
 */
import { type CacheFields, readCacheFields } from '../../../src/rules/caching/fields.ts'
import {
  type AnswerHead,
  type CachePolicySettings,
  type CacheRequest,
  DEFAULT_CACHE_POLICY,
  type StoredMeta,
} from '../../../src/rules/caching/meta.ts'
import { mayStore } from '../../../src/rules/caching/storing.ts'
import { formatHttpDate } from '../../../src/rules/http/http-date.ts'

/** Sun, 09 Nov 2025 12:00:00 GMT */
export const NOW = 1_762_689_600_000

/** An HTTP-date so many seconds from NOW. */
export const date = (seconds: number) => formatHttpDate(NOW + seconds * 1000)

/** `Name: value` lines as raw headers. */
export function raw(...lines: string[]): string[] {
  return lines.flatMap((line) => {
    const colon = line.indexOf(':')
    return [line.slice(0, colon), line.slice(colon + 1).replace(/^[ \t]+|[ \t]+$/g, '')]
  })
}

export function request(lines: string[] = [], over: Partial<CacheRequest> = {}): CacheRequest {
  return {
    method: 'GET',
    scheme: 'http',
    host: 'shop.test',
    target: '/p?q=1',
    ...over,
    rawHeaders: raw('Host: shop.test', ...lines),
  }
}

export function answer(lines: string[] = [], over: Partial<AnswerHead> = {}): AnswerHead {
  return { status: 200, requestMs: NOW, responseMs: NOW, ...over, rawHeaders: raw(...lines) }
}

export function policy(over: Partial<CachePolicySettings> = {}): CachePolicySettings {
  return { ...DEFAULT_CACHE_POLICY, ...over }
}

export const asked = (...lines: string[]): CacheFields => readCacheFields(raw('Host: shop.test', ...lines))

/** What is stored of an answer with a Date of NOW. @throws {Error} where it is not stored */
export function stored(lines: string[], over: Partial<CachePolicySettings> = {}, status = 200): StoredMeta {
  const verdict = mayStore(request(), answer([`Date: ${date(0)}`, ...lines], { status }), policy(over))
  if (verdict.kind === 'skip') throw new Error(`not stored: ${verdict.why}`)
  return verdict.meta
}

export const at = (seconds: number) => NOW + seconds * 1000
