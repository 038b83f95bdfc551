/**
 * The larger answer: 100 KiB, where copying bytes outweighs handling heads.
 */
import { REPORT, startQuickUpstream } from '../harness/upstream.ts'
import { httpContest } from './scenario.ts'

export const get100k = httpContest({
  name: 'get100k',
  about: 'GET of a 100 KiB answer, 32 kept-alive connections',
  load: { path: REPORT, method: 'GET', bodyBytes: 0, connections: 32 },
  upstream: startQuickUpstream,
  limits: [['nginx', 1]],
})
