//! How single values look in the API's description: patterns and ranges of ids, texts, scores and times.

use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, SchemaFormat, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::entry::Reason;
use crate::model::post::{Content, Title};
use crate::model::text::Text;
use crate::model::{ID_CHARS_MAX, PostId, Score, Time, UserId, Username};

/// The alphabet of ids, without `.` and `..`: up to two dots and something else, or three dots and anything.
const ID_PATTERN: &str = r"^(\.{0,2}[A-Za-z0-9_~:@+=|-][A-Za-z0-9._~:@+=|-]*|\.{3}[A-Za-z0-9._~:@+=|-]*)$";

fn id(what: &str) -> ObjectBuilder {
    let rule = "1 to 64 characters of A-Z a-z 0-9 . _ ~ : @ + = | -, neither . nor ..";
    string(what, rule, ID_PATTERN, (1, ID_CHARS_MAX))
}

fn text(what: &str, rule: Text) -> ObjectBuilder {
    string(what, &rule.description(), &rule.pattern(), (rule.chars_min(), rule.chars_max))
}

fn string(what: &str, rule: &str, pattern: &str, (min, max): (usize, usize)) -> ObjectBuilder {
    let text = ObjectBuilder::new().schema_type(Type::String).description(Some(format!("{what}: {rule}")));
    text.pattern(Some(pattern)).min_length(Some(min)).max_length(Some(max))
}

macro_rules! schema {
    ($($name:ident => $schema:expr,)*) => {
        $(
            impl PartialSchema for $name {
                fn schema() -> RefOr<Schema> {
                    $schema.into()
                }
            }
            impl ToSchema for $name {}
        )*
    };
}

schema! {
    PostId => id("What is rated"),
    UserId => id("Who rates"),
    Title => text("What a post is called", Title::RULE),
    Content => text("What a post says", Content::RULE),
    Username => text("A user's name", Username::RULE),
    Reason => text("Why a moderator decided so", Reason::RULE),
    // Listed, since to JSON Schema 5.0 is an integer, too.
    Score => ObjectBuilder::new().schema_type(Type::Integer).enum_values(Some(0..=Score::MAX)),
    Time => ObjectBuilder::new()
        .schema_type(Type::String)
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime))),
}
