/**
 * The metrics of planes, without a proxy.
 */
import type { Planes } from '../../src/control/figures/planes.ts'
import { metricsLines } from '../../src/control/metrics/exposition.ts'
import { History } from '../../src/control/table/history.ts'
import type { LiveTable } from '../../src/state/live-table.ts'

/** What GET /metrics says at 4000 epoch milliseconds. */
export async function metricsText(live: LiveTable, planes: Planes): Promise<string> {
  const parts = {
    ...{ live, history: new History(null), now: () => 4000 },
    isReady: () => ({ ready: true, reasons: [] }),
    fleet: { health: () => null },
    ramps: { figures: () => [] },
  }
  return [...metricsLines(parts, await planes.figures())].join('')
}
