#!/usr/bin/env node
// The check comes first and the sources are loaded after it, so that an old Node answers with one clear line.
import '../scripts/need-node.js'

await import('../gtin-service/main.ts')
