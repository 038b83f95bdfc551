/**
 * The soak as a scenario: `npm run bench -- soak --minutes 10`.
 */
import { spread } from '../harness/figures.ts'
import type { Report, Row } from '../harness/report.ts'
import { type Holdings, soak } from '../soak.ts'
import type { Scenario } from './scenario.ts'

const MIB = 1024 * 1024
const WARM_UP_SECONDS = 30

export const soakScenario: Scenario = {
  name: 'soak',
  about:
    'aborts, upgrades, slow readers and upstream restarts for --minutes, half of it over TLS, with HTTP/2; sockets and heap return',
  standard: false,
  async run(bench): Promise<Report> {
    const seconds = bench.options.minutes * 60
    const { stage, progress } = bench
    const soaked = await soak(stage, { seconds, warmUpSeconds: Math.min(WARM_UP_SECONDS, seconds), progress })
    const { answers, aborts, upgrades, brokenUpgrades, slowReads, broken, streams, handshakes } = soaked.counts
    const byStatus = Object.entries(answers).map(([status, count]) => `${count} x ${status}`)
    return {
      scenario: soakScenario.name,
      about: soakScenario.about,
      columns: [
        { key: 'sockets', title: 'sockets', digits: 0 },
        { key: 'heap', title: 'heap MiB', digits: 2 },
        { key: 'external', title: 'external MiB', digits: 2 },
        { key: 'resident', title: 'RSS MiB', digits: 1 },
      ],
      rows: [rowOf('after warm-up', soaked.before), rowOf(`after ${seconds} s more`, soaked.after)],
      budgets: [],
      notes: [
        `Clients saw ${byStatus.join(', ')} and ${broken} broken connections; they left ${aborts} requests, used ${upgrades} upgrades (${brokenUpgrades} broken), read ${slowReads} answers slowly, had ${streams} answers over HTTP/2 and ${handshakes} TLS handshakes; the upstream was killed and restarted ${soaked.restarts} times.`,
      ],
      failures: soaked.failures,
    }
  },
}

function rowOf(label: string, holdings: Holdings): Row {
  return {
    label,
    figures: {
      sockets: spread([holdings.sockets]),
      heap: spread([holdings.heapBytes / MIB]),
      external: spread([holdings.externalBytes / MIB]),
      resident: spread([holdings.residentBytes / MIB]),
    },
  }
}
