/**
 * /routes/:id/comparisons: what comparing the two sides of a route has found. /samples/:id: one comparison with its values.
 */
import type { Route } from '../../rules/table/table.ts'
import type { RouteEvidence, Sample } from '../../state/evidence/tally.ts'
import { type AdminContext, type AdminParts, type AdminRouter, answerJson, clientAddressOf } from '../context.ts'
import { type Evidence, type PathEvidence, pathsOf } from '../figures/evidence.ts'
import { AdminProblem } from '../http/problem.ts'
import { sinceOf } from './since.ts'
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
    const sinceMs = sinceOf(ctx, parts.now())
    const { evidence } = await parts.planes.figures()
    await evidence.ready()
    const known = sinceMs === null ? evidence.of(id) : await evidence.since(id, sinceMs)
    answerJson(ctx, comparisonsOf(route, known, evidence))
  })

  router.get('/samples/:id', async (ctx) => {
    const { evidence } = await parts.planes.figures()
    await evidence.ready()
    const sample = await evidence.sample(ctx.params.id as string)
    if (sample === null) {
      const why = 'samples are few, and the oldest are dropped'
      throw new AdminProblem('no-such-sample', `Unknown sample ${JSON.stringify(ctx.params.id)}: ${why}.`)
    }
    audit(ctx, parts, sample)
    const { atMs, ...rest } = sample
    answerJson(ctx, { ...rest, at: isoTime(atMs) })
  })
}

/** What is known of a route's two sides, as the API answers it. */
export function comparisonsOf(
  { id, from, percent, shadow, document: { to } }: Route,
  known: RouteEvidence | null,
  evidence: Evidence,
): object {
  return {
    route: id,
    ...{ from, to, percent },
    shadow:
      shadow === null
        ? null
        : { percent: shadow.share * 100, sides: shadow.sides, samples: shadow.keepsValues ? 'values' : 'hashes' },
    storage: evidence.storage,
    problem: evidence.problem,
    since: known === null ? null : isoTime(known.sinceMs),
    comparisons: known?.comparisons ?? 0,
    matches: known?.matches ?? 0,
    mismatches: known === null ? 0 : known.comparisons - known.matches,
    partial: known?.partial ?? 0,
    blind: known?.blind ?? 0,
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
