/**
 * GET / and /page/*: the page. It is static and needs no token; what it shows it asks the API for, as everybody else does.
 */
import type { AdminContext, AdminRouter } from '../context.ts'
import { Assets } from '../page/assets.ts'

/** Nothing inline, nothing from elsewhere, nothing that makes markup of text, and no frame around it. */
const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "connect-src 'self'",
  "img-src 'self'",
  "form-action 'self'",
  "base-uri 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
  "trusted-types 'none'",
].join('; ')

const PREFIX = '/page/'

/** Whether a path is part of the page, which needs no token. */
export function isOfPage(path: string): boolean {
  return path === '/' || path.startsWith(PREFIX)
}

/** Adds the resources. */
export function addPage(router: AdminRouter): void {
  const assets = new Assets()
  router.get('/', (ctx) => answerAsset(ctx, assets, 'index.html'))
  router.get(/^\/page\/.+$/, (ctx) => answerAsset(ctx, assets, ctx.path.slice(PREFIX.length)))
}

async function answerAsset(ctx: AdminContext, assets: Assets, name: string): Promise<void> {
  const asset = await assets.get(name)
  // The router's 404.
  if (asset === null) return
  const coding = ctx.acceptsEncodings('br', 'gzip', 'identity')
  const sent = coding === 'br' || coding === 'gzip' ? coding : null
  ctx.set('Content-Security-Policy', POLICY)
  ctx.set('Referrer-Policy', 'no-referrer')
  ctx.set('Cache-Control', 'no-cache')
  ctx.set('Vary', 'Accept-Encoding')
  ctx.set('ETag', `"${asset.tag}${sent === null ? '' : `-${sent}`}"`)
  ctx.type = asset.type
  if (sent !== null) ctx.set('Content-Encoding', sent)
  ctx.status = 200
  if (ctx.fresh) {
    ctx.status = 304
    ctx.remove('Content-Encoding')
    return
  }
  ctx.body = sent === null ? asset.plain : asset[sent]
}
