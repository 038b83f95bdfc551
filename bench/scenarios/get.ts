/**
 * The small GET: a lookup of 240 bytes, what the proxy costs when there is nothing but proxying.
 */
import { EARLIER } from '../harness/earlier.ts'
import { LOOKUP, startQuickUpstream } from '../harness/upstream.ts'
import { httpContest } from './scenario.ts'

export const get = httpContest({
  name: 'get',
  about: 'GET of 240 bytes of JSON, 32 kept-alive connections',
  load: { path: LOOKUP, method: 'GET', bodyBytes: 0, connections: 32 },
  upstream: startQuickUpstream,
  limits: [
    ['nginx', 1.3],
    [`banyan-${EARLIER}`, 0.82],
    ['http-proxy', 0.35],
    ['fast-proxy', 0.75],
  ],
})
