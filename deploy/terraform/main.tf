# Stands up a blue or a green stack from the same files that `make deploy` applies: ../kubernetes/overlays/COLOR.
# For OpenTofu and Terraform alike. A stack each: one instance of this module with its own state for every color.

terraform {
  required_version = ">= 1.6"

  required_providers {
    kubernetes = {
      source  = "hashicorp/kubernetes"
      version = "~> 2.30"
    }
    # It runs kustomize, so that the manifests are written down once.
    kustomization = {
      source  = "kbst/kustomization"
      version = "~> 0.9"
    }
  }
}

data "kustomization_overlay" "stack" {
  namespace = var.namespace
  resources = ["${path.module}/../kubernetes/overlays/${var.color}"]

  dynamic "images" {
    for_each = toset(["banyan", "gtin-service"])
    content {
      name     = images.value
      new_name = "${var.registry}${images.value}"
      new_tag  = var.image_tag
    }
  }
}

# What the pods of the proxy take their tokens from. One for both stacks, so only one of them makes it.
resource "kubernetes_secret_v1" "admin" {
  count = var.admin_token == null ? 0 : 1

  metadata {
    name      = "banyan-admin"
    namespace = var.namespace
  }

  data = {
    token      = var.admin_token
    read-token = var.read_token
  }

  lifecycle {
    precondition {
      condition     = var.read_token != null
      error_message = "Give read_token beside admin_token."
    }
  }
}

resource "kustomization_resource" "stack" {
  for_each = data.kustomization_overlay.stack.ids

  manifest = data.kustomization_overlay.stack.manifests[each.value]

  depends_on = [kubernetes_secret_v1.admin]
}
