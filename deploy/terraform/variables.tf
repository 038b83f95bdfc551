variable "color" {
  description = "The stack: blue or green."
  type        = string

  validation {
    condition     = contains(["blue", "green"], var.color)
    error_message = "Say blue or green."
  }
}

variable "namespace" {
  description = "The namespace of both stacks; it must exist."
  type        = string
  default     = "default"
}

variable "registry" {
  description = "What the images' names begin with, up to the last slash: registry.example/team/"
  type        = string
  default     = ""

  validation {
    condition     = var.registry == "" || endswith(var.registry, "/")
    error_message = "End it with a slash."
  }
}

variable "image_tag" {
  description = "The version of the images."
  type        = string
}

variable "admin_token" {
  description = "The bearer token of the admin API. Null where the secret banyan-admin is there already."
  type        = string
  default     = null
  sensitive   = true

  validation {
    condition     = var.admin_token == null || try(length(var.admin_token) >= 16, false)
    error_message = "Give it 16 characters or more."
  }
}

variable "read_token" {
  description = "The bearer token that may read alone, for Prometheus. Needed where admin_token is given."
  type        = string
  default     = null
  sensitive   = true

  validation {
    condition     = var.read_token == null || try(length(var.read_token) >= 16, false)
    error_message = "Give it 16 characters or more."
  }
}
