/**
 * All scenarios, in the order they run.
 */
import { accepting } from './accepting.ts'
import { cache } from './cache.ts'
import { edits } from './edits.ts'
import { get } from './get.ts'
import { get100k } from './get100k.ts'
import { gtin, gtinMillion } from './gtin.ts'
import { guard } from './guard.ts'
import { http2 } from './http2.ts'
import { latency } from './latency.ts'
import { log } from './log.ts'
import { memory } from './memory.ts'
import { page } from './page.ts'
import { routes } from './routes.ts'
import type { Scenario } from './scenario.ts'
import { shadow } from './shadow.ts'
import { shadowSides } from './shadow-sides.ts'
import { soakScenario } from './soak.ts'
import { table } from './table.ts'
import { handshakes, tls } from './tls.ts'
import { upload } from './upload.ts'
import { websocket } from './websocket.ts'
import { workers } from './workers.ts'

export const SCENARIOS: readonly Scenario[] = [
  get,
  get100k,
  upload,
  cache,
  routes,
  edits,
  table,
  log,
  shadow,
  shadowSides,
  tls,
  http2,
  handshakes,
  websocket,
  latency,
  workers,
  accepting,
  memory,
  page,
  soakScenario,
  gtinMillion,
  gtin,
  guard,
]
