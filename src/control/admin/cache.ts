/**
 * /cache: cache statistics and purging.
 */
import { z } from 'zod'
import { type PurgeTarget, pathOf, urlForm } from '../../rules/caching/purge.ts'
import { patternTakes, readTarget } from '../../rules/patterns/path.ts'
import type { Route, Table } from '../../rules/table/table.ts'
import { nameHint } from '../../rules/values/problem.ts'
import { object } from '../../rules/values/schema-blocks.ts'
import { type AdminContext, type AdminParts, type AdminRouter, answerJson, clientAddressOf } from '../context.ts'
import { parseBody } from '../http/body-schema.ts'
import { type FieldError, invalidBody } from '../http/problem.ts'
import { readJson } from './body.ts'
import { reasonOf } from './write.ts'

const TARGETS = ['everything', 'route', 'upstream', 'url', 'prefix', 'tag'] as const
const EXPECTED_URL = 'expected a path or an http URL without spaces'

const text = (what: string) => z.string({ error: `expected ${what}` }).min(1, { error: `expected ${what}` })
const url = text('a URL')
  .refine((value) => /^(?:\/|https?:\/\/[^/?#])[\x21-\x7e]*$/i.test(value), { error: EXPECTED_URL })
  .refine((value) => !value.startsWith('//'), {
    error: 'begins with //, which is a host to some and a path to others: write https://HOST/PATH',
  })

/** The schema of a purge: one target, and whether what it covers stays as stale. */
export const purgeBody = object({
  everything: z.literal(true, { error: 'expected true' }).optional(),
  route: text('a route').optional().describe('With upstream: only responses of that upstream.'),
  upstream: text('an upstream').optional(),
  url: url.optional().describe('All variants of one URL; a path applies to all hosts.'),
  prefix: url.optional().describe('All URLs with this prefix; a path applies to all hosts.'),
  tag: text('a tag').optional(),
  soft: z
    .boolean({ error: 'expected true or false' })
    .optional()
    .describe('Mark as stale instead, for use on failures.'),
}).superRefine((said, context) => {
  const named = TARGETS.filter((target) => said[target] !== undefined)
  const isSide = named.length === 2 && said.route !== undefined && said.upstream !== undefined
  if (named.length === 1 || isSide) return
  context.addIssue({
    code: 'custom',
    path: [],
    message: `expected exactly one of ${TARGETS.join(', ')}, or route with upstream`,
  })
})

type PurgeBody = z.output<typeof purgeBody>

/** Adds the resources. */
export function addCache(router: AdminRouter, parts: AdminParts): void {
  router.get('/cache', async (ctx) => {
    const { cache } = await parts.planes.figures()
    answerJson(ctx, { ...cache, degraded: parts.planes.cacheDegraded })
  })

  router.post('/cache/purge', async (ctx) => {
    const said = parseBody(purgeBody, await readJson(ctx.req, ['application/json']))
    const errors = strangers(said, parts.live.current.table)
    if (errors.length > 0) throw invalidBody(errors)
    const target = targetOf(said)
    const [soft, reason] = [said.soft ?? false, reasonOf(ctx)]
    const result = await parts.planes.purge(target, soft)
    const note = result.entries === 0 ? noteOn(target, parts.live.current.table) : null
    audit(ctx, parts, { ...target, soft, reason, ...result })
    answerJson(ctx, { purged: target, soft, ...result, ...(note === null ? {} : { note }) })
  })
}

/** Why nothing can be stored that a purge would cover; null where something might. */
function noteOn(target: PurgeTarget, { routes }: Table): string | null {
  const caching = routes.filter(({ cache }) => cache !== null)
  if (caching.length === 0) return 'no route caches'
  if (target.what === 'route' && !caching.some(({ id }) => id === target.route)) return 'the route does not cache'
  if (target.what === 'tag' && !caching.some(({ cache }) => cache?.tags != null)) return 'no route has tags'
  if (target.what !== 'url') return null
  const form = urlForm(target.url)
  const isTaken = ({ claims, reading }: Route): boolean => {
    const { segments } = readTarget(pathOf(form), reading)
    return segments !== null && claims.some(({ path }) => patternTakes(path, segments))
  }
  return caching.some(isTaken) ? null : `no route that caches takes ${pathOf(form)}`
}

/** Routes and upstreams that the table does not have: a slip would purge nothing, and say that it did. */
function strangers({ route, upstream }: PurgeBody, table: Table): FieldError[] {
  const errors: FieldError[] = []
  const ids = table.routes.map(({ id }) => id)
  if (route !== undefined && !ids.includes(route))
    errors.push(stranger('/route', `unknown route ${route}`, nameHint(route, ids)))
  if (upstream !== undefined && !table.upstreams.has(upstream)) {
    errors.push(stranger('/upstream', `unknown upstream ${upstream}`, nameHint(upstream, table.upstreams.keys())))
  }
  return errors
}

function stranger(pointer: string, detail: string, hint: string | undefined): FieldError {
  return { pointer, detail, ...(hint === undefined ? {} : { hint }) }
}

function targetOf({ route, upstream, url: address, prefix, tag }: PurgeBody): PurgeTarget {
  if (route !== undefined) return { what: 'route', route, upstream: upstream ?? null }
  if (upstream !== undefined) return { what: 'upstream', upstream }
  if (address !== undefined) return { what: 'url', url: address }
  if (prefix !== undefined) return { what: 'prefix', url: prefix }
  return tag === undefined ? { what: 'everything' } : { what: 'tag', tag }
}

function audit(ctx: AdminContext, parts: AdminParts, purge: object): void {
  const { requestId, author } = ctx.state
  const client = clientAddressOf(ctx.req)
  parts.log.info({ event: 'cache-purge', requestId, author, client, ...purge }, `${author} purged the cache`)
}
