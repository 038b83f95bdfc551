/**
 * /routes/:id/comparisons: what comparing the two sides of a route has found. /samples/:id: one comparison with its values.
 */
import type { Route } from '../../rules/table/table.ts'
import type { Sample } from '../../state/evidence/tally.ts'
import { type AdminContext, type AdminParts, type AdminRouter, answerJson, clientAddressOf } from '../context.ts'
import { type Evidence, type PathEvidence, pathsOf } from '../figures/evidence.ts'
import { AdminProblem } from '../http/problem.ts'
import { noSuchRoute } from './write.ts'

/** Samples whose ids are listed. */
const MAX_LISTED = 20

/** Adds the resources. */
export function addComparisons(router: AdminRouter, parts: AdminParts): void {
  router.get('/routes/:id/comparisons', async (ctx) => {
    const { table } = parts.live.current
    const id = ctx.params.id as string
    const route = table.routes.find((one) => one.id === id)
    if (route === undefined) throw noSuchRoute(table, id)
    const { evidence } = await parts.planes.figures()
    answerJson(ctx, comparisonsOf(route, evidence))
  })

  router.get('/samples/:id', async (ctx) => {
    const { evidence } = await parts.planes.figures()
    const sample = evidence.sample(ctx.params.id as string)
    if (sample === null) {
      const why = 'samples are few, kept in memory, and lost at a restart'
      throw new AdminProblem('no-such-sample', `Unknown sample ${JSON.stringify(ctx.params.id)}: ${why}.`)
    }
    audit(ctx, parts, sample)
    const { atMs, ...rest } = sample
    answerJson(ctx, { ...rest, at: isoTime(atMs) })
  })
}

function comparisonsOf({ id, from, to, percent, shadow }: Route, evidence: Evidence): object {
  const known = evidence.of(id)
  return {
    route: id,
    ...{ from, to, percent },
    shadow:
      shadow === null
        ? null
        : { percent: shadow.share * 100, sides: shadow.sides, samples: shadow.keepsValues ? 'values' : 'hashes' },
    // What is in memory is lost at a restart.
    storage: 'memory',
    since: known === null ? null : isoTime(known.sinceMs),
    comparisons: known?.comparisons ?? 0,
    matches: known?.matches ?? 0,
    mismatches: known === null ? 0 : known.comparisons - known.matches,
    partial: known?.partial ?? 0,
    noiseComparisons: known?.noiseComparisons ?? 0,
    repeats: known?.repeats ?? 0,
    cookieSet: known?.cookieSet ?? 0,
    errors: known?.errors ?? {},
    skipped: known?.skipped ?? {},
    fields: known === null ? [] : pathsOf(known).map(fieldOf),
    moreFields: known?.morePaths ?? 0,
    samples: evidence
      .samplesOf(id)
      .slice(0, MAX_LISTED)
      .map((sample) => ({ id: sample.id, at: isoTime(sample.atMs) })),
  }
}

function fieldOf({ firstMs, lastMs, ...found }: PathEvidence): object {
  return { ...found, first: isoTime(firstMs), last: isoTime(lastMs) }
}

function isoTime(ms: number): string {
  return new Date(ms).toISOString()
}

/** Samples may show what clients got: who reads one is logged. */
function audit(ctx: AdminContext, parts: AdminParts, { id, route }: Sample): void {
  const { requestId, author } = ctx.state
  const client = clientAddressOf(ctx.req)
  parts.log.info({ event: 'sample-read', requestId, author, client, sample: id, route }, `${author} read a sample`)
}
