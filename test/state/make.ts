/**
 * Stored answers and places for the tests of the stores.
 */
import { DEFAULT_CACHE_POLICY } from '../../src/rules/caching/meta.ts'
import { varyKey } from '../../src/rules/caching/vary.ts'
import { fieldValues } from '../../src/rules/http/exchange.ts'
import type { CacheSettings } from '../../src/rules/table/table.ts'
import { Content, madeFor } from '../../src/state/caching/content.ts'
import { NOWHERE } from '../../src/state/caching/log-order.ts'
import type { StoredAnswer } from '../../src/state/caching/store.ts'
import type { Place } from '../../src/state/caching/tiers.ts'
import { stored } from '../rules/caching/make.ts'

export const SETTINGS: CacheSettings = {
  ...DEFAULT_CACHE_POLICY,
  collapseWaitMs: 5000,
  maxBodyBytes: 1024 * 1024,
  shareAcrossUpstreams: false,
  key: null,
  normalize: [],
  tags: null,
}

/** Where the answer to a GET of a path lies. */
export function place(path: string, rawHeaders: readonly string[] = [], settings: Partial<CacheSettings> = {}): Place {
  const url = `http://shop.test${path}`
  const key = `r\nlegacy\nGET ${url}`
  const values = (name: string) => fieldValues(rawHeaders, name)
  return {
    route: 'r',
    upstream: 'legacy',
    url,
    key,
    print: 'print',
    parts: '',
    selecting: (vary) => varyKey(values, vary),
    settings: { ...SETTINGS, ...settings },
  }
}

/** A stored answer; `lines` are fields of it that matter. */
export function entry(over: Partial<StoredAnswer> = {}, lines: string[] = ['Cache-Control: max-age=60']): StoredAnswer {
  return {
    kind: 'answer',
    meta: stored(lines),
    reason: 'OK',
    rawHeaders: ['Content-Type', 'text/plain', 'X-Latin', 'caf\xe9'],
    content: new Content(madeFor(place('/a'), []), Buffer.from([0, 1, 2, 253, 254, 255])),
    position: NOWHERE,
    checked: 0,
    refreshAfterMs: 0,
    written: null,
    ...over,
  }
}
