//! Routes with their description, which is made only when somebody asks for it: it is large, and most servers are never asked.

/// The routes of a file, as handlers with `#[utoipa::path]`: those in one pair of parentheses have one path. Makes `router`, which answers, and
/// `described`, which has the same with the description.
macro_rules! resources {
    ($(($($handler:ident),+ $(,)?)),+ $(,)?) => {
        /// What answers.
        pub(super) fn router() -> ::axum::Router<$crate::shared::Shared> {
            use utoipa::Path as _;
            use utoipa_axum::PathItemExt as _;
            ::axum::Router::new()$(.merge({
                let mut path = String::new();
                let methods = ::axum::routing::MethodRouter::new();
                ::utoipa_axum::paste! {$(
                    path.clone_from(&[<__path_ $handler>]::path());
                    let methods = [<__path_ $handler>]::methods()
                        .iter()
                        .fold(methods, |methods, method| methods.on(method.to_method_filter(), $handler));
                )+}
                ::axum::Router::new().route(&path, methods)
            }))+
        }

        /// The same with its description.
        pub(super) fn described() -> ::utoipa_axum::router::OpenApiRouter<$crate::shared::Shared> {
            ::utoipa_axum::router::OpenApiRouter::new()$(.routes(::utoipa_axum::routes!($($handler),+)))+
        }
    };
}

pub(super) use resources;
