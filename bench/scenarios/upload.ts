/**
 * The upload: 1 MiB that the upstream reads to its end before it answers.
 */
import { startNodeUpstream } from '../harness/upstream.ts'
import { httpContest } from './scenario.ts'

export const upload = httpContest({
  name: 'upload',
  about: 'POST of 1 MiB that the upstream reads whole, 32 kept-alive connections',
  load: { path: '/sink', method: 'POST', bodyBytes: 1024 * 1024, connections: 32 },
  upstream: (stage) => startNodeUpstream(stage),
  limits: [['nginx', 1.1]],
})
